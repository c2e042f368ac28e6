"""The last lines of a run: the next commands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

from pipeline import cli
from pipeline.commands import conclusion
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord
from pipeline.running.local import RunOutcome


@pytest.mark.parametrize("ids", [("a", "b"), ("it's", "$HOME"), ("-k", "b"), ("a", "--help"), ("two words", "é")])
def test_next_commands_name_the_ids_whatever_they_are(ids: tuple[str, str], tmp_path: Path) -> None:
    record = RunRecord("films", "r", {}, status="published", published="serving/3", frequent_pair=ids)
    printed = conclusion.describe(RunOutcome(record, 0, RunFolder(tmp_path / "runs" / "r")), Root(tmp_path))
    score, similar = (shlex.split(line) for line in printed.partition("Next:\n")[2].splitlines())
    parsed = _parsed("score", score)
    assert (parsed["left"], parsed["right"], parsed["model"]) == (*ids, str(tmp_path / "serving"))
    parsed = _parsed("similar", similar)
    assert (parsed["id_"], parsed["model"]) == (ids[0], str(tmp_path / "serving"))


def _parsed(name: str, words: list[str]) -> dict:
    """Parses a command line. Returns the values of its parameters."""
    command = typer.main.get_command(cli.app).commands[name]  # type: ignore[attr-defined]
    return command.make_context(name, words[words.index(name) + 1 :]).params
