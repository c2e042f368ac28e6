"""Finding a run by folder, id or `latest`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from errors import ReportError
from pipeline.records.find_run import find_run
from pipeline.records.run_folder import RunFolder


def _run(root: Path, name: str) -> RunFolder:
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text('{"run_id": "' + name + '"}')
    return RunFolder(folder)


def test_run_by_folder_id_and_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    older, newer = _run(Path("build/films"), "20260101-1"), _run(Path("build/words"), "20260102-1")
    (Path("build/films") / "runs" / "20260103-1").mkdir()  # has just started
    assert find_run(str(older.path), None) == older
    assert find_run("20260101-1", None) == older
    assert find_run("latest", Path("build/films")) == older
    with pytest.raises(ReportError, match="several roots in build have runs: build/films, build/words"):
        find_run("latest", None)
    shutil.rmtree("build/films")
    assert find_run("latest", None) == newer
    assert newer.read_summary() == {"run_id": "20260102-1"}


def test_missing_and_ambiguous_runs_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReportError, match=r"no run is recorded below build/\*. Set --root to another root"):
        find_run("latest", None)
    with pytest.raises(ReportError, match="20260101-1: no run has this id in"):
        find_run("20260101-1", None)
    _run(Path("build/films"), "20260101-1"), _run(Path("build/words"), "20260101-1")
    with pytest.raises(ReportError, match="several runs have this id"):
        find_run("20260101-1", None)
    assert find_run("20260101-1", Path("build/words")) == RunFolder(Path("build/words/runs/20260101-1"))
