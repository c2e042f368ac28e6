"""The temporary folder of a run. It ends with the run. That of a killed run ends with the start of the next one.

Libraries leave files in TMPDIR, and a killed process leaves all its files. So a run has one folder there, for its
files, those of libraries and those of its children.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PREFIX = "kindred-run-"
"""How the names of these folders begin. The process that owns a folder holds a lock on it."""
_VARIABLE = "TMPDIR"


@contextlib.contextmanager
def own_folder() -> Iterator[Callable[[], None]]:
    """Makes a new folder the temporary directory of this process and its children, inside the block.

    Removes the folders of killed runs first. If no folder can be created and locked, the process uses TMPDIR as before.

    Yields:
      A function that removes the folder, for a process that ends inside the block.
    """
    for folder in abandoned():
        _remove(folder)
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(_locked_folder())
        except OSError:  # a full disk, for example. The run reports it where it matters
            yield lambda: None
            return
        before, variable = tempfile.tempdir, os.environ.get(_VARIABLE)
        tempfile.tempdir = os.environ[_VARIABLE] = str(folder)
        try:
            yield lambda: _remove(folder)
        finally:
            tempfile.tempdir = before
            os.environ.pop(_VARIABLE, None)
            os.environ |= {} if variable is None else {_VARIABLE: variable}


def abandoned() -> Iterator[Path]:
    """Yields the temporary folders of this user's runs whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and not _is_locked(folder):
                yield folder


def _is_locked(folder: Path) -> bool:
    descriptor = _opened(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def _locked_folder() -> Iterator[Path]:
    """Yields a new folder. It gets its name when its lock is held, so that nobody takes it for an abandoned one."""
    folder = Path(tempfile.mkdtemp(prefix="kindred-new-")).absolute()
    descriptor = _opened(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder = folder.rename(folder.with_name(folder.name.replace("kindred-new-", PREFIX, 1)))
        yield folder
    finally:
        _remove(folder)
        os.close(descriptor)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
