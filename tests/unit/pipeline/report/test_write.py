"""Writing the report: the file is complete, and errors never fail the run."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.records.progress import marked_alive
from pipeline.records.run_folder import RunFolder
from pipeline.report import write
from pipeline.report.sources import Run
from pipeline.running import closing
from pipeline.running.console import RunConsole
from tests.unit.pipeline.report.planted_report import empty_run

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = empty_run(tmp_path)
    run.folder.path.mkdir(parents=True)
    run.folder.summary.write_text(json.dumps(run.summary))
    return run.folder


def test_report_without_metadata(folder: RunFolder) -> None:
    path = write.write_report(folder)
    assert path == folder.report and "The run was unfinished" in path.read_text(encoding="utf-8")
    assert sorted(os.listdir(folder.path)) == ["report.html", "summary.json"]


def test_run_ending_during_report_wins(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run writes its own final report, which an outdated one must not replace."""
    with marked_alive(folder):
        assert "The run is in progress" in write.write_report(folder).read_text(encoding="utf-8")
    render = write.render

    def end_meanwhile(run: Run) -> str:
        text = render(run)
        if run.progress and run.progress.alive:
            alive.close()
            folder.summary.write_text(json.dumps(run.summary | {"status": "tuned"}))
        return text

    monkeypatch.setattr(write, "render", end_meanwhile)
    with contextlib.ExitStack() as alive:
        alive.enter_context(marked_alive(folder))
        assert "The search for settings is complete." in write.write_report(folder).read_text(encoding="utf-8")


def test_error_keeps_previous_report(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write.write_report(folder).read_bytes()
    folder.summary.write_text("{ half")
    with pytest.raises(json.JSONDecodeError):
        write.write_report(folder)
    assert folder.report.read_bytes() == before


def test_unwritable_report_is_one_console_line(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(write, "write_report", broken)
    out = io.StringIO()
    closing._report(folder, RunConsole(Console(file=out, width=200)), broken)
    assert out.getvalue() == f"The report could not be written. See {folder.log}.\n"
    assert "the disk is full" in capsys.readouterr().err
