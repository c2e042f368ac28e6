"""Objects by URL, as workers of an engine on other machines read and write them.

Stores are reached by the variables of the provider and the identity of the machine, because the section `storage` is
about the machine that runs. A connection serves all calls of a process.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import os
import tempfile
from collections.abc import Iterator

import pyarrow as pa

from storage import urls
from storage.connect import endpoint_of
from storage.settings import StorageSettings
from storage.store import Store, StoredObject, in_parallel


@functools.lru_cache
def _bucket(url: str, endpoint: str | None) -> Store:
    """Returns a bucket. Variables may change, so the endpoint is a part of the key of the cache."""
    return Store(url)


def _placed(url: str) -> tuple[Store, str]:
    place = urls.parse(url)
    return _bucket(urls.bucket_of(url), endpoint_of(place.provider, StorageSettings())), place.key


def find(url: str) -> StoredObject | None:
    """Returns an object, or None if there is none."""
    store, key = _placed(url)
    return store.find(key)


def matching(pattern: str) -> list[str]:
    """Returns the sorted URLs of the objects of a folder whose names match the last part of `pattern`."""
    folder, _, wanted = pattern.rpartition("/")
    store, key = _placed(folder)
    names = [entry.name[len(key) + 1 :] for entry in store.objects(key)]
    return [urls.join(folder, name) for name in names if "/" not in name and fnmatch.fnmatchcase(name, wanted)]


def read(url: str) -> bytes:
    """Returns the content of an object."""
    store, key = _placed(url)
    return store.read(key)


def opened(url: str) -> pa.NativeFile:
    """Opens an object for random access."""
    store, key = _placed(url)
    return store.opened(key)


@contextlib.contextmanager
def written(url: str) -> Iterator[pa.NativeFile]:
    """Opens a local file for writing, and uploads it at the end of the block. After an error, nothing is uploaded."""
    store, key = _placed(url)
    with tempfile.TemporaryDirectory(prefix="kindred-object-") as folder:
        staged = os.path.join(folder, "content")
        with pa.OSFile(staged, "wb") as out:
            yield out
        store.send(staged, key)


def download(url: str, folder: str) -> None:
    """Downloads all objects below a URL to a local folder."""
    store, key = _placed(url)
    in_parallel(
        lambda entry: store.download(entry, os.path.join(folder, entry.name[len(key) + 1 :])),
        [entry for entry in store.objects(key) if not entry.name.endswith("/")],
    )


def delete(url: str) -> None:
    """Deletes an object. One that is gone already is no error."""
    store, key = _placed(url)
    store.delete(key)


def delete_folder(url: str) -> None:
    """Deletes all objects below a URL."""
    store, key = _placed(url)
    store.delete_folder(key)
