"""Memory figures of cgroups in both versions, in folders that stand in for /sys/fs/cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from kindred import cgroup

_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control"),
    2: ("memory.max", "memory.current", "inactive_file", "memory.events"),
}


def _group(folder: Path, version: int, limit: str, used: int, inactive: int, kills: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    limit_file, used_file, reclaimable, kills_file = _FILES[version]
    (folder / limit_file).write_text(f"{limit}\n")
    (folder / used_file).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"cache 5\n{reclaimable} {inactive}\nrss 7\n")
    (folder / kills_file).write_text(f"oom 3\noom_kill {kills}\n")


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    line = "4:memory:/a/b" if request.param == 1 else "0::/a/b"
    (tmp_path / "membership").write_text(f"9:name=systemd:/\n{line}\n")
    monkeypatch.setattr(cgroup, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path / "mount")
    return int(request.param)


def _mount(tmp_path: Path, version: int) -> Path:
    return tmp_path / "mount" / ("memory" if version == 1 else "")


def test_nearest_limit_counts_with_reclaimable_memory(tmp_path: Path, version: int) -> None:
    mount = _mount(tmp_path, version)
    _group(mount / "a" / "b", version, "1000", 900, 50, 2)
    _group(mount / "a", version, "5000", 4970, 20, 9)  # 50 bytes are left for a and what is in it
    assert cgroup.free_memory() == 50
    file = cgroup.kills_file()
    assert file and cgroup.kills(file) == 2


def test_no_limit_is_none(tmp_path: Path, version: int) -> None:
    assert cgroup.free_memory() is None and cgroup.kills_file() is None
    _group(_mount(tmp_path, version) / "a" / "b", version, "max", 900, 50, 0)
    assert cgroup.free_memory() is None


def test_container_that_sees_its_cgroup_as_mount_is_found(tmp_path: Path, version: int) -> None:
    _group(_mount(tmp_path, version), version, "1000", 400, 0, 1)
    assert cgroup.free_memory() == 600
    file = cgroup.kills_file()
    assert file and cgroup.kills(file) == 1


def test_unreadable_figures_are_none(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("oom_kill many\n")
    assert cgroup.kills(tmp_path / "events") is None and cgroup.kills(tmp_path / "none") is None
