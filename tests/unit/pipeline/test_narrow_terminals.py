"""On a terminal of 40 columns or more, no line is cut, and no word that fits a line is broken."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from components.evaluator.evaluation import WORST_FILE, Evaluation, write_evaluation
from components.evaluator.figures import Comparison, Figure
from components.evaluator.rules import RuleResult
from kindred.invocation import command
from kindred.terminal import fitted
from pipeline import cli
from pipeline.commands import narrow_help

COLUMNS = 40
RUN = "20261125-220701-000"
IDS = ["語" * 15, "naïve film of the year", "x" * 60]

# Answers and refusals of commands. They run in one process, because an import takes seconds.
COMMANDS = [
    ["runs"], ["versions"], ["compare", RUN, "20261126-220701-000"], ["report", "--why", RUN], ["report", RUN],
    ["check", "--config", "wrong.yaml"], ["check", "--config", "missing.yaml"], ["runs", "--root", "nothing"],
    ["init", "new", "--data", "missing.csv"], ["run", "--config", "wrong.yaml"], ["tune", "--config", "wrong.yaml"],
    ["score", "a", "b", "--model", "no model"], ["similar", "a", "--model", "no model"],
    ["neighbors", "a", "--model", "no model"], ["recommend", "--model", "no model", "--output", "lists.csv"],
    ["serve", "--root", "nothing"], ["rollback", "--root", "build/films"], ["verify"], ["approve", "7"],
    ["prune", "--keep", "1", "--dry-run"], ["monitor", "--log", "no log", "--root", "build/films"], ["lineage", RUN],
    ["compile", "--config", "wrong.yaml", "--output", "package.yaml"], ["submit", "--config", "wrong.yaml"],
    ["submit", "--package", "missing.yaml"], ["schedule", "create", "nightly", "--cron", "0 3 * *"],
    ["schedule", "backfill", "--span", "3..1"], ["frobnicate"], ["run"], ["recommend", "--sid", "left"],
]  # fmt: skip
SCRIPT = """
import json, sys
from pipeline import cli
for words in json.loads(sys.argv.pop()):
    sys.argv[1:] = words
    try:
        cli.main()
    except SystemExit:
        pass
    print("=====", flush=True)
"""


def _helps(command: Any, *words: str) -> Iterator[list[str]]:
    """Yields the request for help of a command, and those of all commands below it."""
    yield [*words, "--help"]
    for name, below in getattr(command, "commands", {}).items():
        yield from _helps(below, *words, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs in build/films, with long words and wide characters."""
    for number in ("25", "26"):
        run = tmp_path / "build" / "films" / "runs" / RUN.replace("25", number, 1)
        run.mkdir(parents=True)
        summary = {
            "pipeline": "films", "run_id": run.name, "status": "model_refused", "started": "2026-11-25T22:07:01+00:00",
            "seconds": 3.5, "components": [], "published": None, "blessed": False, "blessing": [], "versions": {},
            "data": {"rows": 1000 + int(number)}, "metrics": {"rmse": 0.9123456, "baseline_rmse": 1.1},
            "config": {"data": {"path": f"/data/{'語' * 12}/pairs-{number}.csv"}, "publish": {"to": "serving"}},
            "error": "the model is not blessed, and was not published:\n  rmse better than the last blessed model",
            "evaluation": "pipeline/Evaluator/evaluation/7",
        }  # fmt: skip
        (run / "summary.json").write_text(json.dumps(summary))
        (run / "report.html").write_text("")
    evaluation = tmp_path / "build" / "films" / "pipeline" / "Evaluator" / "evaluation" / "7"
    evaluation.mkdir(parents=True)
    figures = [Figure("rmse", "", 100, 0.91, 0.8, 1.0, {"mean": Comparison(1.1), "last_blessed": Comparison(0.9)})]
    rule = RuleResult.of_summary(
        {"rule": "rmse better than last_blessed", "value": 0.91, "bound": 0.9, "ok": False, "interval": [0.8, 1.0]}
    )
    write_evaluation(Evaluation(figures, [rule]), str(evaluation))
    columns = {name: pa.array([one.encode() for one in IDS]) for name in ("left_id", "right_id")}
    numbers = {name: pa.array([0.5, 1.0, 1.5]) for name in ("label", "value", "error")}
    pa.parquet.write_table(pa.table({**columns, **numbers}), evaluation / WORST_FILE)
    (tmp_path / "build" / "films" / "serving" / "3").mkdir(parents=True)
    (tmp_path / "wrong.yaml").write_text("name: A Name With Spaces\ndata: {path: pairs.csv}\ntrain: {epoch: 3}\n")
    return tmp_path


def _on_terminal(folder: Path, commands: list[list[str]], columns: int = COLUMNS) -> list[str]:
    """Returns what each command prints on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env | {"PYTHONPATH": str(Path.cwd())},
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            while block := os.read(ours, 1 << 16):
                shown += block
        except OSError:  # the other end is closed
            pass
        assert process.wait() == 0, shown.decode()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())  # without colors
    return text.replace("\r\n", "\n").split("=====\n")[:-1]


@pytest.mark.parametrize("columns", [COLUMNS, narrow_help.WIDTH])
def test_no_line_is_cut_and_no_word_is_broken(folder: Path, columns: int) -> None:
    helps = list(_helps(typer.main.get_command(cli.app)))
    assert len(helps) > 25
    # Help has tables in wide terminals.
    commands = [*COMMANDS, *helps] if columns == COLUMNS else helps
    for words, text in zip(commands, _on_terminal(folder, commands, columns), strict=True):
        assert text.strip() and "Traceback" not in text, (words, text)
        assert "…" not in text, (words, text)
        for line in text.splitlines():
            assert cell_len(line) <= columns or len(line.split()) == 1, (words, line)


def test_ids_stay_whole(folder: Path) -> None:
    (text,) = _on_terminal(folder, [["report", "--why", RUN]])
    assert all(one in text for one in (IDS[0], IDS[2]))


_TEXTS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=30), max_size=12)


@given(_TEXTS, st.integers(0, 8))
def test_lines_are_broken_between_words_only(words: list[str], margin: int) -> None:
    text = " " * margin + " ".join(words)
    lines = fitted(text, COLUMNS).split("\n")
    assert " ".join(lines).split() == text.split()
    for line in lines:
        assert cell_len(line) <= COLUMNS or len(line.split()) <= 1 or (line == lines[0] and len(line.split()) == 1)


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), max_size=20), min_size=4, max_size=8))
def test_broken_command_is_the_same_command(words: list[str]) -> None:
    text = fitted(f"  {command('similar', *words)}", COLUMNS)
    assert shlex.split(text.replace("\\\n", "")) == shlex.split(command("similar", *words))
    if "\n" in text:
        assert all(line.endswith(" \\") for line in text.split("\n")[:-1])
