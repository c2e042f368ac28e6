"""The audit covers every package that Kindred and its images install, and fails if it could not ask."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bootstrap import audit, create_venv


@pytest.mark.parametrize(("codes", "expected"), [((0, 0), 0), ((0, 1), 1), ((2, 0), 1)])
def test_exit_code_reports_a_failed_list_or_audit(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int], expected: int
) -> None:
    answers = iter(codes)
    monkeypatch.setattr(create_venv, "find_uv", lambda: "uv")
    monkeypatch.setattr(subprocess, "call", lambda *_, **__: next(answers))
    assert audit.main() == expected


def test_missing_uv_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(create_venv, "find_uv", lambda: None)
    monkeypatch.setattr(create_venv, "installed_uv", lambda: None)
    assert audit.main() == 1
    assert "The audit needs uv." in capsys.readouterr().err


def test_list_has_hashes_of_runs_and_of_images(tmp_path: Path) -> None:
    uv = create_venv.find_uv() or create_venv.installed_uv()
    if uv is None:
        pytest.skip("uv is not installed")
    export, ask = audit.commands(uv, tmp_path / "requirements.txt")
    subprocess.run(export, cwd=Path(audit.__file__).parents[1], check=True)
    listed = (tmp_path / "requirements.txt").read_text(encoding="utf-8")
    assert "--hash=sha256:" in listed and "pytest==" not in listed
    assert all(f"\n{name}==" in listed for name in ("tfx", "tensorflow", "tensorflow-cpu", "uvicorn"))
    assert {"--strict", "--disable-pip", "--require-hashes"} <= {*ask}
