"""Comparison of installed versions with the lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.doctor import versions
from pipeline.commands.doctor.check import LOCK as OUR_LOCK

LOCK = """version = 1

[[package]]
name = "numpy"
version = "2.2.6"
source = { registry = "index" }

[[package]]
name = "numpy"
version = "2.4.6"
dependencies = [
    { name = "tfx", version = "9" },
]

[[package]]
name = "tfx"
version = "1.21.0"
"""


def test_package_may_have_several_versions(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(LOCK)
    assert versions.read_lock(tmp_path / "uv.lock") == {"numpy": {"2.2.6", "2.4.6"}, "tfx": {"1.21.0"}}
    assert versions.read_lock(tmp_path / "none") is None


def test_lock_has_every_reported_package() -> None:
    assert set(versions.DISTRIBUTIONS) <= set(versions.read_lock(OUR_LOCK) or {})


def test_versions_are_compared_with_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "DISTRIBUTIONS", ("tfx", "numpy", "kfp"))
    installed = {"tfx": "1.20.0", "numpy": "2.2.6", "six": "1", "attrs": "2", "mine": "0"}
    locked = {"tfx": {"1.21.0"}, "numpy": {"2.2.6", "2.4.6"}, "six": {"1"}, "attrs": {"3"}}
    checks = {check.name: check for check in versions.check_versions(installed, locked)}
    assert [name for name, check in checks.items() if not check.ok] == ["tfx", "kfp", "other packages"]
    assert checks["tfx"].found == "1.20.0, locked at 1.21.0"
    assert checks["kfp"].found == "not installed"
    assert checks["other packages"].found == "not as locked: attrs 2"


def test_without_a_lock_any_version_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "DISTRIBUTIONS", ("tfx",))
    checks = list(versions.check_versions({"tfx": "5"}, None))
    assert all(check.ok for check in checks)
    assert checks[-1].found == "no uv.lock to compare with"
