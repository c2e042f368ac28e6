"""Refusals of work that does not fit on a disk, and sentences about full disks."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from errors import DiskFull
from storage import disk

_Usage = namedtuple("_Usage", "total used free")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The free bytes below each directory name. Others have 1 GB."""
    sizes: dict[str, int] = {}

    def usage(path: str) -> _Usage:
        size = next((size for name, size in sizes.items() if name in path), 10**9)
        return _Usage(2 * 10**9, 2 * 10**9 - size, size)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return sizes


def test_work_that_fits_is_not_refused(tmp_path: Path, free: dict[str, int]) -> None:
    free[str(tmp_path)] = 1000
    disk.require(tmp_path / "missing" / "folder", 1000, "files")
    disk.require("s3://bucket/folder", 10**15, "files")


def test_refusal_has_disk_and_both_figures(tmp_path: Path, free: dict[str, int]) -> None:
    free[str(tmp_path)] = 1_234_567
    place = os.path.realpath(tmp_path)
    while not os.path.ismount(place):
        place = os.path.dirname(place)
    with pytest.raises(DiskFull) as refused:
        disk.require(tmp_path, 2_345_678_901, "the examples")
    assert str(refused.value).startswith(
        f"the examples need at least 2.3 GB in {tmp_path}, and the disk at {place} has 1.2 MB free. "
    )
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["[Errno 28] No space left on device", "Error when executing query: database or disk is full query: COMMIT"]
)
def test_cause_that_names_a_full_disk_is_found(tmp_path: Path, free: dict[str, int], text: str) -> None:
    free["small"] = 500_000
    (tmp_path / "small").mkdir()
    error = ValueError("a node failed")
    error.__cause__ = RuntimeError(text)
    sentence = disk.full_disk(error, [tmp_path, tmp_path / "small"])
    assert sentence and sentence.endswith(f"500 kB of 2.0 GB are free, and {tmp_path / 'small'} needs more")
    assert "COMMIT" not in sentence


def test_named_file_decides_which_disk(tmp_path: Path, free: dict[str, int]) -> None:
    free["small"] = 500_000
    (tmp_path / "small").mkdir()
    named = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "file"))
    sentence = disk.full_disk(named, [tmp_path / "small"])
    assert sentence and f"{tmp_path / 'file'} needs more" in sentence


def test_other_failure_on_full_disk_is_its_fault(tmp_path: Path, free: dict[str, int]) -> None:
    free["small"] = 4096
    (tmp_path / "small").mkdir()
    assert disk.full_disk(ValueError("truncated file"), [tmp_path / "small"])


def test_other_failure_with_free_space_is_not(tmp_path: Path, free: dict[str, int]) -> None:
    free["small"] = 500_000
    (tmp_path / "small").mkdir()
    assert disk.full_disk(ValueError("truncated file"), [tmp_path / "small"]) is None
    assert disk.full_disk(ValueError("truncated file"), []) is None
