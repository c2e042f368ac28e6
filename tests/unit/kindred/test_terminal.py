"""Text from data cannot command a terminal. A pipe gets it unchanged."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import kindred
from kindred.terminal import log, printable, show_exception
from pipeline.commands import doctor, lineage_tree
from pipeline.commands.doctor.check import Check
from pipeline.records.lineage import Lineage
from pipeline.records.root import Root
from pipeline.running.console import RunConsole

# Clears the screen, sets the title, rings, reverses, C1's control sequence introducer, and a byte that is not UTF-8.
EVIL = b"\x1b[2J\x1b]0;gotcha\x07 \xe2\x80\xae\xc2\x9b31m \xff\tok"
SHOWN = "\\x1b[2J\\x1b]0;gotcha\\x07 \\u202e\\x9b31m \\xff\tok"
SAY = "import os, sys; from kindred.terminal import say; say(os.fsdecode(sys.stdin.buffer.read()), err={})"


@pytest.mark.parametrize("err", [False, True])
def test_terminal_shows_characters_that_would_command_it(err: bool) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SAY.format(err)], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs
    ) as process:
        assert process.stdin is not None
        process.stdin.write(EVIL)
        process.stdin.close()
        assert process.wait(30) == 0
    assert os.read(ours, 4096).decode() == f"{SHOWN}\r\n"
    os.close(theirs)
    os.close(ours)


def test_pipe_gets_every_byte() -> None:
    done = subprocess.run([sys.executable, "-c", SAY.format(False)], input=EVIL, capture_output=True, check=True)
    assert done.stdout == EVIL + b"\n"


def test_lines_of_a_run_are_safe() -> None:
    for terminal in (True, False):
        out = io.StringIO()
        console = RunConsole(Console(file=out, force_terminal=terminal, color_system=None, width=200))
        console.say("a\x1b]0;x\u202eb")
        console.finished("Trainer", "executed", 1.0, "id \x1b[2J")
        assert ("\x1b]" in out.getvalue(), "\\x1b]0;x\\u202eb" in out.getvalue()) == (not terminal, terminal)
        assert ("id \\x1b[2J" in out.getvalue()) == terminal


EVIL_TEXT = os.fsdecode(EVIL)


def _on_terminal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> str:
    """Returns what `act` prints on a pseudo terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8", errors="surrogateescape", closefd=True) as terminal:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, terminal)
        monkeypatch.setenv("TERM", "xterm")
        act()
        terminal.flush()
        shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    return shown


def _is_safe(shown: str) -> bool:
    """Whether a text has no command but Rich's own, which begin with ESC [ and end with m, and returns."""
    rest = re.sub("\x1b\\[[0-9;]*m", "", shown).replace("\r\n", "\n")
    return printable(rest) == rest and "gotcha" in rest


@pytest.mark.parametrize("as_json", [False, True])
def test_lineage_is_safe(as_json: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Names of files, versions and the reasons of withdrawals come from elsewhere."""
    lineage = Lineage("1", None, schema=EVIL_TEXT, published=[EVIL_TEXT], versions={EVIL_TEXT: EVIL_TEXT})
    summary = {"components": [], "run_id": "1", "pipeline": "films", "status": "published"}
    root = Root(tmp_path)
    root.metadata.touch()
    folder = SimpleNamespace(root=root, path=tmp_path, read_summary=lambda: summary)
    monkeypatch.setattr(lineage_tree, "find_run", lambda run, root: folder)
    monkeypatch.setattr(lineage_tree.Executions, "in_file", lambda file: SimpleNamespace(of_run=lambda run: {}))
    monkeypatch.setattr(lineage_tree, "trace", lambda *_: lineage)
    assert _is_safe(_on_terminal(monkeypatch, lambda: lineage_tree.print_lineage("1", None, as_json)))


def test_doctor_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("name", False, EVIL_TEXT, EVIL_TEXT)]
    assert _is_safe(_on_terminal(monkeypatch, lambda: doctor.render(checks, Console())))


def test_names_of_running_tasks_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from a server."""

    def run() -> None:
        with RunConsole(Console()).running() as show:
            show([f"{EVIL_TEXT} [red]"])

    shown = _on_terminal(monkeypatch, run)
    assert "\x1b]0" not in shown and "\x1b[2J" not in shown and "[red]" in shown and "gotcha" in shown


def test_traceback_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _is_safe(_on_terminal(monkeypatch, lambda: show_exception(ValueError, ValueError(EVIL_TEXT), None)))


def test_logs_are_always_safe(capfd: pytest.CaptureFixture[str]) -> None:
    """They are read on terminals later."""
    log(EVIL_TEXT)
    log(EVIL_TEXT, err=False)
    found = capfd.readouterr()
    assert found.err == found.out == f"{SHOWN}\n"


# What they print has no text from elsewhere, or `json.dumps` has escaped it.
_PRINTING = {
    "kindred/terminal.py", "kindred/entry.py", "pipeline/beam/worker.py", "pipeline/running/stopping.py",
    "pipeline/commands/doctor/probes.py", "pipeline/kubeflow/node.py", "pipeline/kubeflow/run_report.py",
    "pipeline/kubeflow/metadata_service.py", "pipeline/kubeflow/volume.py", "serving/model_server/main.py",
}  # fmt: skip


def test_no_other_module_prints() -> None:
    """New output goes through `kindred.terminal` or `RunConsole`."""
    top = Path(kindred.__file__).parents[1]
    prints = re.compile(r"^\s*(print|typer\.s?echo|sys\.std(out|err)\.write)\(", re.MULTILINE)
    packages = ("kindred", "pipeline", "components", "trainer", "serving", "storage", "compat", "errors")
    found = {
        str(file.relative_to(top))
        for package in packages
        for file in (top / package).rglob("*.py")
        if prints.search(file.read_text("utf-8"))
    }
    assert found == _PRINTING


@given(st.text())
def test_nothing_else_changes(text: str) -> None:
    commands = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\t\n"]
    commands += [c for c in text if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")]
    commands += [c for c in text if unicodedata.bidirectional(c) in ("LRI", "RLI", "FSI", "PDI")]
    shown = printable(text)
    assert not any(c in shown for c in commands)
    if not commands and not set(text) & set("\u061c\u200e\u200f"):
        assert shown == text
