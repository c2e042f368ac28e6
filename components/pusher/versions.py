"""A directory of versions, as TensorFlow Serving watches one: what is in it, what is known again, and what goes when.

A version is a folder whose name is a number. What is being written, retired or was withdrawn has a name that begins
with a dot, which TensorFlow Serving passes over. How files get there is another matter on a disk (`local.py`) than
behind a URL (`remote.py`).
"""

from __future__ import annotations

import abc
import re

from components.pusher.manifest import file_digests

_WITHDRAWN = re.compile(r"\.withdrawn-([0-9]+)")


class Versions(abc.ABC):
    """The versions in `directory`."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @abc.abstractmethod
    def publish(self, model: str, card: str | None = None) -> int:
        """Copies the local SavedModel `model`, and the local file `card` about it, to the next version, whole.

        Two publishers at once get different versions.

        Returns:
          The version.

        Raises:
          OSError, tf.errors.OpError: it cannot be written; no version appears.
        """

    def published(self) -> list[int]:
        """The published versions, oldest first; entries that are no version are passed over."""
        return sorted(int(name) for name in self._names() if name.isdecimal() and self._is_whole(name))

    def withdrawn(self) -> list[int]:
        """The versions that were withdrawn, oldest first."""
        return sorted(int(match.group(1)) for name in self._names() if (match := _WITHDRAWN.fullmatch(name)))

    def newest_if_same(self, model: str) -> int | None:
        """The newest version if it was published from the very files of `model`, else None."""
        newest = max(self.published(), default=None)
        if newest is None or self._manifest(str(newest)) != file_digests(model):
            return None
        return newest

    def withdrawn_if_same(self, model: str) -> int | None:
        """The withdrawn version that was published from the very files of `model`, else None."""
        digests = file_digests(model)
        return next((n for n in self.withdrawn() if self._manifest(_withdrawn_name(n)) == digests), None)

    def withdraw(self) -> tuple[int, int]:
        """Takes the newest version away, so that the one before it is served again; it stays, under another name.

        Returns:
          The version withdrawn, and that which is served now.

        Raises:
          LookupError: there are fewer than two versions.
        """
        found = self.published()
        if len(found) < 2:
            raise LookupError(f"{self.directory} holds {len(found)} version(s); there is no earlier one to serve")
        self._move(str(found[-1]), _withdrawn_name(found[-1]))
        return found[-1], found[-2]

    def restore(self) -> tuple[int, int | None]:
        """Undoes the last `withdraw`.

        Returns:
          The version served again, and that which was served before.

        Raises:
          LookupError: none was withdrawn, or a newer one was published since.
        """
        taken, found = self.withdrawn(), self.published()
        if not taken:
            raise LookupError(f"{self.directory} holds no version that was withdrawn")
        if found and found[-1] > taken[-1]:
            raise LookupError(f"{self.directory}: version {found[-1]} was published after {taken[-1]} was withdrawn")
        # The last to go is the lowest of those above what is served.
        version = min(number for number in taken if not found or number > found[-1])
        self._move(_withdrawn_name(version), str(version))
        return version, found[-1] if found else None

    def retire(self, keep: int) -> None:
        """Removes all but the `keep` newest versions, and withdrawn ones that are older than all of those."""
        found = self.published()
        kept = found[-keep:]
        for version in found[:-keep]:
            self._remove(str(version))
        for version in self.withdrawn():
            if kept and version < kept[0]:
                self._remove(_withdrawn_name(version))

    @abc.abstractmethod
    def _names(self) -> list[str]:
        """What lies in the directory; nothing where there is none."""

    @abc.abstractmethod
    def _is_whole(self, name: str) -> bool:
        """Whether all files of a version are there."""

    @abc.abstractmethod
    def _manifest(self, name: str) -> dict[str, str] | None:
        """The digests that a version was published with; None where they cannot be read."""

    @abc.abstractmethod
    def _move(self, name: str, target: str) -> None:
        """Renames a version."""

    @abc.abstractmethod
    def _remove(self, name: str) -> None:
        """Removes a version so that no half of it is served; that another was first is no fault."""


def _withdrawn_name(version: int) -> str:
    return f".withdrawn-{version}"
