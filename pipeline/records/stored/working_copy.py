"""The working copy of a root in an object store: a folder on this machine, and the last state that both sides share."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from errors import RootError
from storage import urls
from storage.cache import CACHE, cache_folder
from storage.connect import endpoint_of
from storage.settings import StorageSettings
from storage.trust import trust

_IDENTITY = ".store.json"
_BASE = ".base.json"
_NEXT = ".next.json"

Stamp = tuple[int, int]
"""Size in bytes and time in nanoseconds of a local file."""
REMOVED: Stamp = (-1, -1)
"""Stands for a file that was deleted here and must be deleted in the store."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """Which root a folder is the working copy of.

    Attributes:
      url: of the root.
      storage: how the store is reached.
      owner: identifies this working copy.
    """

    url: str
    storage: StorageSettings
    owner: str


@dataclasses.dataclass
class Base:
    """What the working copy and the store had in common after the last exchange.

    Attributes:
      generation: number of the state in the store. 0: none.
      token: makes the name of the state unique.
      metadata: the database then.
      files: records and pages then, by path below the root. None stands for one that only the store has.
    """

    generation: int = 0
    token: str = ""
    metadata: Stamp | None = None
    files: dict[str, Stamp | None] = dataclasses.field(default_factory=dict)


def working_folder(url: str, storage: StorageSettings | None = None) -> Path:
    """Returns the folder of the working copy of a root. Creates it if there is none.

    The same URL at another endpoint is another root.

    Args:
      url: of the root.
      storage: how the store is reached. None: as the last run reached it, or by the variables of the provider.

    Raises:
      RootError: `url` is not the URL of a folder in a store, or the folder cannot be created.
      StoreError: `storage.ca_file` cannot be used.
    """
    try:
        place = urls.parse(url)
    except ValueError as error:
        raise RootError(f"--root: {error}") from None
    url = url.rstrip("/")
    endpoint = endpoint_of(place.provider, storage or StorageSettings()) or ""
    digest = hashlib.sha256(f"{endpoint} {url}".encode()).hexdigest()[:12]
    folder = cache_folder() / "roots" / f"{place.path.rpartition('/')[2]}-{digest}"
    identity = identity_of(folder)
    if identity is None and storage is None and (used := _only_copy(folder, url)):
        folder, identity = used, identity_of(used)
    trust((storage or (identity.storage if identity else StorageSettings())).ca_file)
    if identity is None or (storage is not None and identity.storage != storage):
        owner = identity.owner if identity else uuid.uuid4().hex
        settings = storage or StorageSettings()
        content = {"url": url, "storage": settings.model_dump(mode="json"), "owner": owner}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / _IDENTITY, content)
        except OSError as error:
            raise RootError(
                f"--root {url}: the working copy {folder} cannot be written ({error.strerror}). Set {CACHE} to "
                "another folder"
            ) from None
    return folder


def _only_copy(folder: Path, url: str) -> Path | None:
    """Returns the working copy of a URL that a pipeline file has made for its endpoint, if there is one only."""
    found = [path for path in folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*") if _is_copy(path, url)]
    return found[0] if len(found) == 1 else None


def _is_copy(folder: Path, url: str) -> bool:
    identity = identity_of(folder)
    return identity is not None and identity.url == url and identity.storage.endpoint is not None


def identity_of(folder: Path) -> Identity | None:
    """Returns which root `folder` is the working copy of, or None if it is a root itself."""
    try:
        content = json.loads((folder / _IDENTITY).read_text(encoding="utf-8"))
        return Identity(content["url"], StorageSettings.model_validate(content["storage"]), content["owner"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_base(folder: Path) -> Base:
    """Returns what was stored by `write_base`, or that nothing was exchanged."""
    return _read_base(folder / _BASE)


def write_base(folder: Path, base: Base) -> None:
    """Stores what both sides have in common."""
    _write(folder / _BASE, dataclasses.asdict(base))


def read_next(folder: Path) -> Base:
    """Returns what both sides have in common if the state exists that `write_next` announced."""
    return _read_base(folder / _NEXT)


def write_next(folder: Path, base: Base) -> None:
    """Stores what both sides will have in common, before the last request. Its answer can be lost."""
    _write(folder / _NEXT, dataclasses.asdict(base))


def stamp_of(file: Path) -> Stamp | None:
    """Returns the stamp of a file, or None if there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def _read_base(file: Path) -> Base:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        files = {name: _stamp(value) for name, value in content["files"].items()}
        return Base(int(content["generation"]), content["token"], _stamp(content["metadata"]), files)
    except (OSError, ValueError, KeyError, TypeError):
        return Base()


def _stamp(value: Any) -> Stamp | None:
    return None if value is None else (int(value[0]), int(value[1]))


def _write(file: Path, content: dict[str, Any]) -> None:
    staged = file.with_name(f"{file.name}.{os.getpid()}.part")
    staged.write_text(json.dumps(content), encoding="utf-8")
    os.replace(staged, file)
