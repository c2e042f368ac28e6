"""A run's temporary folder: everything lands there, and nothing is left of it, or of that of a killed run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.running.temporary import PREFIX, abandoned, own_folder


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TMPDIR."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_files_of_process_and_children_are_removed(shared: Path) -> None:
    with own_folder():
        here = tempfile.mkdtemp()
        script = "import tempfile; print(tempfile.mkdtemp())"
        child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        (folder,) = shared.iterdir()
        assert folder.name.startswith(PREFIX) and folder.stat().st_mode & 0o777 == 0o700
        assert {Path(here).parent, Path(child).parent} == {folder}
    assert not list(shared.iterdir())
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(shared)


def test_absent_variable_stays_absent(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR")
    with own_folder():
        assert Path(os.environ["TMPDIR"]).parent == shared
    assert "TMPDIR" not in os.environ


def test_failed_block_leaves_nothing(shared: Path) -> None:
    def stopped() -> None:
        with own_folder():
            tempfile.mkdtemp()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not list(shared.iterdir())


def test_process_that_ends_inside_removes_its_folder(shared: Path) -> None:
    with own_folder() as remove:
        tempfile.mkdtemp()
        remove()
        assert not list(shared.iterdir())


def test_folder_of_killed_run_is_removed_and_that_of_live_run_is_not(shared: Path) -> None:
    killed = shared / f"{PREFIX}killed"
    (killed / "kindred-pairs-x").mkdir(parents=True)
    with own_folder():
        (live,) = shared.iterdir()
        assert live != killed and not list(abandoned())
        with own_folder():
            assert live.is_dir()


def test_links_files_and_foreign_names_stay(shared: Path) -> None:
    target = shared / "precious"
    (target / "photos").mkdir(parents=True)
    (shared / f"{PREFIX}link").symlink_to(target)
    (shared / f"{PREFIX}file").write_text("")
    names = {path.name for path in shared.iterdir()}
    with own_folder():
        assert names < {path.name for path in shared.iterdir()}
    assert {path.name for path in shared.iterdir()} == names and (target / "photos").is_dir()


@pytest.mark.parametrize("broken", ["tempfile.mkdtemp", "fcntl.flock"])
def test_run_works_without_own_folder(broken: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or a file system without such locks."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(broken, fails)
    with own_folder() as remove:
        remove()
        assert tempfile.gettempdir() == str(shared)
    assert not list(shared.iterdir())
