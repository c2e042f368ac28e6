"""The check of a volume: its effects, and its advice after a failure."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.kubeflow import volume


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_writable_volume_is_shared_with_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o700)
    assert volume.main([str(tmp_path)]) == 0
    assert stat.S_IMODE(tmp_path.stat().st_mode) == volume.SHARED_MODE
    assert tmp_path.stat().st_gid == os.getegid()
    assert f"group {os.getegid()} can write to {tmp_path} (owner {os.geteuid()}" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_foreign_directory_keeps_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    before = tmp_path.stat().st_mode
    volume.share_with_group(tmp_path)
    assert tmp_path.stat().st_mode == before


def test_fixed_mode_passes_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", refuse)
    assert volume.main([str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("code", "step"),
    [
        (errno.EACCES, "with the Kustomize component root-owned-volume,"),
        (errno.EPERM, "with the Kustomize component root-owned-volume,"),
        (errno.EROFS, "ReadWriteMany"),
        (errno.ENOSPC, "more storage"),
        (errno.EDQUOT, "more storage"),
        (errno.EIO, "check the storage"),
    ],
    ids=errno.errorcode.get,
)
def test_failed_write_names_next_step(
    code: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    assert volume.main([str(tmp_path)]) == 1
    words, next_step = capsys.readouterr().err.splitlines()
    assert words.startswith("error: user ") and words.endswith(f"): {os.strerror(code)}")
    assert next_step.startswith("Next: ") and step in next_step
    assert list(tmp_path.iterdir()) == []


def test_volume_that_loses_data_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"")
    assert volume.main([str(tmp_path)]) == 1
    assert "cannot be read back" in capsys.readouterr().err


def test_missing_mount_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert volume.main([str(tmp_path / "absent")]) == 1
    assert "absent: No such file or directory\nNext: mount the volume there." in capsys.readouterr().err


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can access. Only the owner can access `tmp_path`."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        folder = Path(name, "volume")
        folder.mkdir(mode=0o755)
        yield folder


def as_user(user: int, work: Callable[[], int]) -> int:
    """Runs `work` as `user` of group 0. Returns the exit code."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(user, user, user)
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_group_members_share_volume(shared_folder: Path) -> None:
    def write() -> int:
        os.umask(0o002)
        (shared_folder / "runs").mkdir(exist_ok=True)
        (shared_folder / "runs" / str(os.geteuid())).touch()
        return 0

    os.chown(shared_folder, 10001, 10001)
    for user in (10001, 1234567, 10001):
        assert as_user(user, lambda: volume.main([str(shared_folder)])) == 0
        assert as_user(user, write) == 0
    found = {(path.name, path.stat().st_gid) for path in (shared_folder / "runs").iterdir()}
    assert found == {("10001", 0), ("1234567", 0)}


def test_volume_of_root_is_refused(shared_folder: Path) -> None:
    assert as_user(10001, lambda: volume.main([str(shared_folder)])) == 1
    assert stat.S_IMODE(shared_folder.stat().st_mode) == 0o755
