"""The versions in a directory for TensorFlow Serving: list, publish, recognize, withdraw and retire.

A version is a folder with a number as its name. Staged, waiting, retiring and withdrawn folders have a leading dot,
which TensorFlow Serving ignores. `local.py` and `remote.py` implement the file operations of disks and URLs.
"""

from __future__ import annotations

import abc
import contextlib
import re

from kindred.manifest import Manifest, model_digests

_WITHDRAWN = re.compile(r"\.withdrawn-([0-9]+)")
_AWAITING = re.compile(r"\.awaiting-([0-9]+)")


class Versions(abc.ABC):
    """The versions in `directory`.

    Args:
      directory: a path or a URL.
      pipeline: name of the pipeline that publishes. Without it, every version with a manifest counts as its own.
    """

    def __init__(self, directory: str, pipeline: str | None = None) -> None:
        self.directory = directory
        self._pipeline = pipeline

    @abc.abstractmethod
    def publish(self, model: str, card: str | None = None, await_approval: bool = False) -> int:
        """Copies the local SavedModel `model` and the local file `card` to the next version.

        Concurrent publishers get different versions.

        Args:
          model: directory of the SavedModel.
          card: path of the model card, if any.
          await_approval: whether servers must not see the version until `approve`.

        Returns:
          The version number.

        Raises:
          OSError, StoreError, StoreUnavailable: the version cannot be written. No version appears.
        """

    def published(self) -> list[int]:
        """Returns the published versions, oldest first. Ignores other entries."""
        return sorted(int(name) for name in self._names() if name.isdecimal() and self._is_whole(name))

    def withdrawn(self) -> list[int]:
        """Returns the withdrawn versions, oldest first."""
        return sorted(int(match.group(1)) for name in self._names() if (match := _WITHDRAWN.fullmatch(name)))

    def awaiting(self) -> list[int]:
        """Returns the versions that await approval, oldest first."""
        return sorted(int(match.group(1)) for name in self._names() if (match := _AWAITING.fullmatch(name)))

    def awaiting_if_same(self, model: str) -> int | None:
        """Returns the version that awaits approval with files identical to `model`, else None."""
        digests = model_digests(model)
        return next((n for n in reversed(self.awaiting()) if self._has_files(awaiting_name(n), digests)), None)

    @abc.abstractmethod
    def damage_of_awaiting(self, version: int) -> str | None:
        """Returns the first file of a waiting version that differs from its manifest, or None. Reads all files."""

    def approve(self, version: int) -> None:
        """Publishes a version that awaits approval."""
        self._move(awaiting_name(version), str(version))

    def supersede(self, version: int) -> None:
        """Removes versions that await approval and are older than `version`."""
        for number in self.awaiting():
            if number < version and self._is_own(awaiting_name(number)):
                self._remove(awaiting_name(number))

    def foreign(self) -> list[str]:
        """Returns the names of versions that this pipeline did not publish, in order of the numbers."""
        numbers = [name for name in self._names() if name.isdecimal() and self._is_whole(name)]
        return sorted((name for name in numbers if not self._is_own(name)), key=int)

    def _is_own(self, name: str) -> bool:
        manifest = self._manifest(name)
        return manifest is not None and (self._pipeline is None or manifest.pipeline in (None, self._pipeline))

    def newest_if_same(self, model: str) -> int | None:
        """Returns the newest version if it was copied from files identical to `model` and is whole, else None."""
        newest = max(self.published(), default=None)
        if newest is None or not self._has_files(str(newest), model_digests(model)) or self.damage(newest):
            return None
        return newest

    @abc.abstractmethod
    def damage(self, version: int, thorough: bool = False) -> str | None:
        """Returns the first file of a version that differs from its manifest, or None.

        Args:
          version: the version.
          thorough: whether to read all files, even if that downloads a model.
        """

    @abc.abstractmethod
    def local(self, version: int) -> contextlib.AbstractContextManager[str]:
        """Returns a context with the local directory of a version, which is a copy if the version is remote."""

    def _has_files(self, name: str, digests: dict[str, str]) -> bool:
        manifest = self._manifest(name)
        return manifest is not None and manifest.files == digests

    def withdrawn_if_same(self, model: str) -> int | None:
        """Returns the withdrawn version with files identical to `model`, else None."""
        digests = model_digests(model)
        return next((n for n in self.withdrawn() if self._has_files(_withdrawn_name(n), digests)), None)

    def withdrawal(self) -> tuple[int, int]:
        """Returns the version to withdraw, which is the newest, and the one that is served instead.

        Raises:
          LookupError: there are fewer than two versions.
        """
        published = self.published()
        if len(published) < 2:
            count = "one version" if published else "no version"
            raise LookupError(f"{self.directory} has {count}. There is no earlier version to serve")
        return published[-1], published[-2]

    def withdraw(self, version: int) -> None:
        """Withdraws a version. Keeps it under a hidden name."""
        self._move(str(version), _withdrawn_name(version))

    def restoration(self) -> tuple[int, int | None]:
        """Returns the version to restore, which undoes the last withdrawal, and the one that is served now, if any.

        Raises:
          LookupError: no version was withdrawn, or a newer one was published since.
        """
        taken, published = self.withdrawn(), self.published()
        if not taken:
            raise LookupError(f"{self.directory} has no withdrawn version")
        if published and published[-1] > taken[-1]:
            raise LookupError(
                f"{self.directory}: version {published[-1]} was published after {taken[-1]} was withdrawn"
            )
        # The last withdrawn version is the lowest one above the served version.
        version = min(number for number in taken if not published or number > published[-1])
        return version, published[-1] if published else None

    def changes_to(self, version: int) -> tuple[list[int], list[int]]:
        """Returns the versions to restore and those to withdraw, so that `version` is served.

        In this order, the served version changes with the last rename only.

        Raises:
          LookupError: there is no such version, it is damaged, or it is served already.
        """
        published, withdrawn = self.published(), self.withdrawn()
        newer = [number for number in published if number > version]
        if version in published:
            if not newer:
                raise LookupError(f"{self.directory}: version {version} is served already")
            if file := self.damage(version):
                raise LookupError(f"{self.directory}: version {version} is damaged: {file} differs from its manifest")
        elif version not in withdrawn:
            known = ", ".join(map(str, sorted({*published, *withdrawn}))) or "none"
            raise LookupError(f"{self.directory} has no version {version} (versions: {known})")
        return [version] if version in withdrawn else [], newer

    def restore(self, version: int) -> None:
        """Publishes a withdrawn version again."""
        self._move(_withdrawn_name(version), str(version))

    def retire(self, keep: int) -> None:
        """Removes all but the `keep` newest versions, and older withdrawn versions. Removes only what it published."""
        published = self.published()
        kept = published[-keep:]
        old = [str(version) for version in published[:-keep]]
        old += [_withdrawn_name(version) for version in self.withdrawn() if kept and version < kept[0]]
        for name in old:
            if self._is_own(name):
                self._remove(name)

    @abc.abstractmethod
    def _names(self) -> list[str]:
        """Returns the names in the directory, or none if it does not exist."""

    @abc.abstractmethod
    def _is_whole(self, name: str) -> bool:
        """Returns whether all files of a version are present."""

    @abc.abstractmethod
    def _manifest(self, name: str) -> Manifest | None:
        """Returns the manifest of a version, or None if it is unreadable."""

    @abc.abstractmethod
    def _move(self, name: str, target: str) -> None:
        """Renames a version."""

    @abc.abstractmethod
    def _remove(self, name: str) -> None:
        """Removes a version without exposing an incomplete one. Ignores concurrent removal."""


def _withdrawn_name(version: int) -> str:
    return f".withdrawn-{version}"


def awaiting_name(version: int | str) -> str:
    """Returns the name of a version that awaits approval. Servers ignore it."""
    return f".awaiting-{version}"
