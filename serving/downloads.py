"""Published models in object stores: finds complete versions, and downloads each once, verified. Without TensorFlow."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from pathlib import Path

from errors import ModelDamaged, ModelNotFound
from kindred.digests import first_difference
from kindred.manifest import MANIFEST, Manifest, damage, model_digests, parse_manifest
from storage import urls
from storage.cache import cache_folder
from storage.settings import StorageSettings
from storage.store import Store, StoredObject, in_parallel

_GRAPH = "saved_model.pb"


def find_version(url: str, settings: StorageSettings | None = None) -> str:
    """Returns the URL of a SavedModel.

    Args:
      url: of a SavedModel, of a folder of versions, or of a root, whose versions are in its folder `serving`.
      settings: how the store is reached.

    Returns:
      `url` if it is a SavedModel, otherwise its complete version with the highest number.

    Raises:
      ModelNotFound: there is no complete version.
      StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
    """
    store = Store(url, settings)
    if store.find(_GRAPH):
        return store.url
    for folder in (url, urls.join(url, "serving")):
        if versions := complete_versions(folder, settings):
            return urls.join(folder, max(versions, key=int))
    raise ModelNotFound(f"--model {url}: no complete model version there. `kindred run` publishes to publish.to")


def complete_versions(url: str, settings: StorageSettings | None = None) -> list[str]:
    """Returns the names of the versions below a URL whose publication has ended."""
    store = Store(url, settings)
    names = [name for name in store.folders() if name.isdecimal()]
    graphs = in_parallel(lambda name: store.find(f"{name}/{_GRAPH}"), names)
    return [name for name, graph in zip(names, graphs, strict=True) if graph]


def fingerprint(url: str, settings: StorageSettings | None = None) -> tuple[tuple[str, int, int], ...]:
    """Returns name, size and time of all files of a version, to detect that a broken version was repaired."""
    return tuple((entry.name, entry.size, entry.changed) for entry in Store(url, settings).objects())


def local_copy(url: str, settings: StorageSettings | None = None) -> str:
    """Returns a folder with the files of a version. Downloads them if no earlier call has.

    Args:
      url: of a complete SavedModel.
      settings: how the store is reached.

    Raises:
      ModelNotFound: there is no such model.
      ModelDamaged: a file differs from the manifest.
      StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
      OSError: the cache cannot be written.
    """
    store = Store(url, settings)
    entries = store.objects()
    if not any(entry.name == _GRAPH for entry in entries):
        raise ModelNotFound(f"{url}: no complete model there")
    manifest = store.read(MANIFEST) if any(entry.name == MANIFEST for entry in entries) else b""
    versions = _versions_folder(url)
    # A number can have another model after it was deleted by hand.
    state = hashlib.sha256(manifest + store.tag(_GRAPH).encode()).hexdigest()[:16]
    folder = versions / urls.parse(url).key.rpartition("/")[2] / state
    if folder.is_dir() and damage(str(folder)):
        shutil.rmtree(folder)
    if not folder.is_dir():
        _download(store, entries, parse_manifest(manifest.decode(errors="replace")), folder)
    return str(folder)


def _versions_folder(url: str) -> Path:
    place = urls.parse(url)
    return (cache_folder() / "models" / place.folder / place.key).parent


def _download(store: Store, entries: list[StoredObject], manifest: Manifest | None, folder: Path) -> None:
    staged = folder.with_name(f".{uuid.uuid4().hex}.part")
    try:
        in_parallel(lambda entry: store.download(entry, str(staged / entry.name)), entries)
        wrong = first_difference(model_digests(str(staged)), manifest.files) if manifest else None
        if wrong is not None:
            raise ModelDamaged(
                f"{urls.join(store.url, wrong)} is missing or changed since it was published. Publish it again"
            )
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for name in os.listdir(folder.parent):
        if name != folder.name and not name.startswith("."):
            shutil.rmtree(folder.parent / name, ignore_errors=True)
