"""Checks of the machine: limits and fixes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import glibc
from pipeline.commands.doctor import check, machine


def test_small_machines_and_other_pythons_fail() -> None:
    assert not machine.check_disk(10**9, Path("/")).ok
    assert machine.check_disk(10**10, Path("/")).ok
    assert not machine.check_memory(10**9).ok
    assert machine.check_memory(8 * 10**9).ok
    assert machine.check_python((3, 12), "CPython").ok
    assert not machine.check_python((3, 9), "CPython").ok
    assert not machine.check_python((3, 12), "PyPy").ok
    assert machine.memory_bytes() > 10**8
    assert machine.core_count() >= 1


@pytest.mark.parametrize(
    ("state", "ok", "fix"),
    [
        (glibc.RepairState.REPAIRED, True, ""),
        (glibc.RepairState.NOT_NEEDED, True, ""),
        (glibc.RepairState.NEEDED, False, "bootstrap.glibc"),
        (glibc.RepairState.NOT_INSTALLED, False, "Remove .venv"),
    ],
)
def test_repair_is_reported(state: glibc.RepairState, ok: bool, fix: str) -> None:
    found = machine.check_repair(glibc.RepairStatus(state, (2, 36)))
    assert found.ok is ok
    assert fix in found.fix


def test_without_a_repository_fixes_install_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LOCK", tmp_path / "uv.lock")
    assert "make" not in check.install_again() and "Install Kindred again" in check.install_again()
    assert "git" not in check.restore_code() and "pip install" in check.restore_code()
