"""Local disks: refuses work that surely does not fit, and recognizes errors that mean a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence

from errors import DiskFull

# What operating systems, SQLite and TensorFlow write.
_SIGNS = ("No space left on device", "database or disk is full", "Disk quota exceeded")
# Some libraries hide the reason. A disk with less than this is the reason of any failure.
_NOTHING = 64 << 10


def require(directory: str | os.PathLike[str], size: int, purpose: str) -> None:
    """Checks that a local disk has room. Does nothing for a URL.

    Args:
      directory: where files will be written. It need not exist.
      size: bytes that are surely needed.
      purpose: what needs them, as the subject of a sentence in the plural.

    Raises:
      DiskFull: the disk has less. The message has the disk, both figures and the next step.
    """
    if "://" in str(directory):
        return
    free = shutil.disk_usage(_existing(directory)).free
    if free < size:
        raise DiskFull(
            f"{purpose} need at least {size_in_words(size)} in {directory}, and {_disk(directory)} has "
            f"{size_in_words(free)} free. Free space there (`kindred prune` removes old runs), or use another disk"
        )


def full_disk(error: BaseException, directories: Sequence[str | os.PathLike[str]]) -> str | None:
    """Returns a sentence about the full disk that caused an error, or None if no disk is full.

    Args:
      error: the error, with its causes.
      directories: local directories that may be on the disk, and need not exist.
    """
    chain = list(_causes(error))
    named = [
        str(one.filename)
        for one in chain
        if isinstance(one, OSError) and one.filename and any(sign in str(one) for sign in _SIGNS)
    ]
    by_space = sorted(map(str, directories), key=lambda path: shutil.disk_usage(_existing(path)).free)
    is_said = any(sign in str(one) for one in chain for sign in _SIGNS)
    if not by_space or not (is_said or shutil.disk_usage(_existing(by_space[0])).free < _NOTHING):
        return None
    place = (named or by_space)[0]
    used = shutil.disk_usage(_existing(place))
    return (
        f"{_disk(place)} is full: {size_in_words(used.free)} of {size_in_words(used.total)} are free, "
        f"and {place} needs more"
    )


def size_of(directory: str) -> int:
    """Returns the bytes of all files below a directory."""
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(directory) for name in names)


def size_in_words(size: int) -> str:
    """Returns bytes in a unit that fits, as in `1.5 MB`."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size / 1000:,.0f} kB"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _disk(path: str | os.PathLike[str]) -> str:
    """Returns `the disk at MOUNT POINT`."""
    place = os.path.realpath(_existing(path))
    while not os.path.ismount(place):
        place = os.path.dirname(place)
    return f"the disk at {place}"


def _existing(path: str | os.PathLike[str]) -> str:
    place = os.path.abspath(path)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    return place
