"""Every command on a root in an object store: it works there, or it says why not. A new command needs a line here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from components.pusher.remote import RemoteVersions
from pipeline import cli
from pipeline.records.root import Root
from tests.e2e import planted as pairs
from tests.integration.object_store.test_commands_on_a_stored_root import machine
from tests.object_store import Bucket
from tests.unit.trainer.planted_model import Planted

pytestmark = pytest.mark.tensorflow
__all__ = ["machine"]

_OF_FILE = "--config FILE --root ROOT --set name=films"
_ANSWERS = {
    "check": (f"check {_OF_FILE}", 0, "Nothing to refuse"),
    "check batch": (f"check {_OF_FILE} --set batch={{}}", 0, "Nothing to refuse"),
    "check approve": (f"check {_OF_FILE} --set publish.approve=true", 0, "Nothing to refuse"),
    "score": ("score --model MODELS plain lock", 0, "score"),
    "score file": ("score --model MODELS --input IDS --output ROOT/scored.csv", 0, "scored.csv"),
    "similar": ("similar --model MODELS plain", 0, "lock"),
    "neighbors": ("neighbors --model MODELS plain", 0, "007"),
    "recommend": ("recommend --model MODELS --output ROOT/lists.csv", 0, "lists.csv"),
    "serve": ("serve --root ROOT", 0, "--model_base_path=ROOT/serving"),
    "runs": ("runs --root ROOT", 0, "published"),
    "report": ("report 1 --root ROOT", 0, "report.html"),
    "report why": ("report 1 --why --root ROOT", 2, "the run did not reach the evaluation"),
    "compare": ("compare 1 2 --root ROOT", 0, "serving/2"),
    "versions": ("versions --root ROOT", 0, "served"),
    "lineage": ("lineage 2 --root ROOT", 0, "run 2 (published)"),
    "verify": ("verify --root ROOT", 0, "whole"),
    "prune": ("prune --root ROOT --keep 1 --dry-run", 0, "would remove"),
    "monitor": ("monitor --root ROOT --log ROOT/logs/a", 2, "ROOT/logs/a"),
    "watch": ("watch --root ROOT", 2, "has no section publish.watch"),
    "approve": ("approve 1 --root ROOT", 2, "version 1 does not await approval"),
    "rollback": ("rollback --root ROOT", 0, "ROOT/serving"),
    "run": (f"run {_OF_FILE} --data NOWHERE", 2, "NOWHERE"),
    "tune": (f"tune {_OF_FILE} --data NOWHERE", 2, "NOWHERE"),
}  # fmt: skip
_WITHOUT_ROOT = {"init", "compile", "submit", "schedule", "doctor"}


def test_every_command_has_an_answer() -> None:
    commands = get_command(cli.app).commands  # type: ignore[attr-defined]
    assert {line.split()[0] for line, _, _ in _ANSWERS.values()} == set(commands) - _WITHOUT_ROOT
    options = {parameter.name for name in _WITHOUT_ROOT for parameter in commands[name].params}
    assert not options & {"root", "model"}


@pytest.fixture
def run_command(
    machine: Callable[[str], Root],
    bucket: Bucket,
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[[str], tuple[int, str]]:
    """Returns what runs a command on a fresh machine, and returns its exit code and what it prints."""
    root, models = f"{bucket.url}/films", f"{bucket.url}/models"
    RemoteVersions(models).publish(str(planted.model))
    file = pairs.write_pipeline(tmp_path)
    (tmp_path / "ids.csv").write_text("left_id,right_id\nplain,lock\n")
    words = {"ROOT": root, "MODELS": models, "FILE": str(file), "IDS": str(tmp_path / "ids.csv")}
    machine("two")
    monkeypatch.setattr("serving.model_server.main.main", lambda flags: print(*flags))

    def run(line: str) -> tuple[int, str]:
        for word, value in words.items():
            line = line.replace(word, value)
        monkeypatch.setattr(sys, "argv", ["kindred", *line.split()])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = "".join(capfd.readouterr())
        for word, value in words.items():
            printed = printed.replace(value, word)
        return int(end.value.code or 0), printed

    return run


def test_commands_work_or_say_why_not(run_command: Callable[[str], tuple[int, str]]) -> None:
    """One root for all commands: those that change it are last."""
    wrong = {}
    for name, (line, code, text) in _ANSWERS.items():
        ended, printed = run_command(line)
        if ended != code or text not in printed:
            wrong[name] = (ended, printed)
    assert not wrong, "\n".join(f"{name}: {ended}\n{printed}" for name, (ended, printed) in wrong.items())
