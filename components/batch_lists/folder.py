"""The folder ROOT/lists: the lists of each version in a folder of its number, which appears when it is whole.

3/lists.json                  what the lists were made of, how many there are, and the digest of each file
3/right/00000-of-00002.csv    the lists of one kind, in parts
current                       a link to the lists of the served version
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from kindred.digests import file_digests, first_difference

MANIFEST = "lists.json"
CURRENT = "current"
STAGING_PREFIX = ".staging-"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Facts about the lists of a version.

    Attributes:
      key: a digest of all that the lists were made of.
      version: the version of the model.
      pipeline: the name of the pipeline.
      settings: section `batch`.
      lists: the number of `queries` and of `rows` of each kind of lists.
      files: SHA-256 of each file by relative path.
    """

    key: str
    version: int
    pipeline: str
    settings: dict[str, Any]
    lists: dict[str, dict[str, int]]
    files: dict[str, str]

    def write(self, folder: Path) -> None:
        """Writes `lists.json`."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """Reads `lists.json` of a folder, or returns None if it has none or is no folder of lists."""
    try:
        return parse_manifest((folder / MANIFEST).read_bytes())
    except OSError:
        return None


def parse_manifest(content: bytes) -> Manifest | None:
    """Returns the facts of a `lists.json`, or None if it is none."""
    try:
        return Manifest(**json.loads(content))
    except (ValueError, TypeError):
        return None


def digests_of(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of lists by relative path."""
    return {name: digest for name, digest in file_digests(str(folder)).items() if name != MANIFEST}


class ListsFolder:
    """The lists of all versions.

    Args:
      path: ROOT/lists. It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, version: int, key: str) -> Path | None:
        """Returns the folder of the lists of a version if they were made of the same and are undamaged."""
        folder = self._path / str(version)
        manifest = read_manifest(folder)
        if manifest is None or manifest.key != key or first_difference(digests_of(folder), manifest.files):
            return None
        return folder

    def reuse(self, version: int, key: str, target: Path) -> bool:
        """Links the lists of a version to `target` if they were made of the same. Returns whether they are whole."""
        folder = self.find(version, key)
        if folder is not None:
            link_files(folder, target)
        return folder is not None

    def publish(self, version: int, lists: Path) -> None:
        """Makes the lists of a version appear with one rename. Lists of the same version are replaced.

        Args:
          version: the version of the model.
          lists: the folder of the lists. Its files are linked, or copied to another disk.

        Raises:
          OSError: they cannot be written.
        """
        staging = self._new_folder()
        try:
            link_files(lists, staging / "new")
            while True:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self._path / str(version), staging / uuid.uuid4().hex)
                try:
                    os.rename(staging / "new", self._path / str(version))
                    return
                except OSError:
                    # Another run wrote lists of this version at the same moment.
                    if not (self._path / str(version)).is_dir():
                        raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def point(self, version: int) -> None:
        """Lets `current` name the lists of the served version, or nothing if it has none."""
        if read_manifest(self._path / str(version)) is None:
            with contextlib.suppress(FileNotFoundError):
                (self._path / CURRENT).unlink()
            return
        staging = self._new_folder()
        try:
            os.symlink(str(version), staging / CURRENT)
            os.replace(staging / CURRENT, self._path / CURRENT)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def versions(self) -> list[int]:
        """Returns the versions with lists, oldest first. Ignores folders of others."""
        numbers = (path for path in self._path.glob("*") if path.name.isdecimal())
        return sorted(int(path.name) for path in numbers if read_manifest(path) is not None)

    def retire(self, keep: int) -> None:
        """Removes all but the `keep` newest lists."""
        for version in self.versions()[:-keep]:
            staging = self._new_folder()
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path / str(version), staging / str(version))
            shutil.rmtree(staging, ignore_errors=True)

    def _new_folder(self) -> Path:
        folder = self._path / f"{STAGING_PREFIX}{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder


def link_files(source: Path, target: Path) -> None:
    """Links or copies all files below a folder to another one, which may exist."""
    for place, _, names in os.walk(source):
        folder = target / os.path.relpath(place, source)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _link(os.path.join(place, name), folder / name)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
