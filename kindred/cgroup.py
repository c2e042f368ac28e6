"""The cgroup of this process, versions 1 and 2: its memory limit, and how many processes the kernel killed in it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


@dataclasses.dataclass(frozen=True)
class _Version:
    """Where a version of cgroups keeps figures about memory."""

    mount: str
    limit: str
    used: str
    reclaimable: str
    kills: str


_ONE = _Version("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control")
_TWO = _Version(".", "memory.max", "memory.current", "inactive_file", "memory.events")


def free_memory() -> int | None:
    """Returns the bytes until the nearest limit of this process, or None without a limit.

    Memory of cached files counts as free if it was not used lately, as in the kernel.
    """
    rooms = []
    for folder, version in _ancestors():
        limit, used = _number(folder / version.limit), _number(folder / version.used)
        if limit is not None and used is not None:
            rooms.append(limit - used + (_counter(folder / "memory.stat", version.reclaimable) or 0))
    return max(0, min(rooms)) if rooms else None


def kills_file() -> Path | None:
    """Returns the file that counts kills in the cgroup of this process, or None if there is none."""
    return next((folder / version.kills for folder, version in _ancestors()), None)


def kills(file: Path) -> int | None:
    """Returns how many processes the kernel has killed for lack of memory, or None if the file has no such count."""
    return _counter(file, "oom_kill")


def _ancestors() -> Iterator[tuple[Path, _Version]]:
    """Yields the folders of the cgroup of this process and of those above that account for memory, innermost first."""
    with contextlib.suppress(OSError):
        for line in _MEMBERSHIP.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            version = _ONE if controllers else _TWO
            mount = _MOUNT / version.mount
            folder = mount / path.lstrip("/")
            # A container sees its own cgroup as the mount, and maybe the path of the host.
            for place in (folder, *folder.parents):
                if (place / version.kills).is_file():
                    yield place, version
                if place == mount:
                    break


def _number(file: Path) -> int | None:
    """Returns the only number of a file. None for `max`."""
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text(encoding="ascii"))
    return None


def _counter(file: Path, name: str) -> int | None:
    """Returns the value of a line `name value`."""
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return None
