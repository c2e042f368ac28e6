"""Local copies of objects. An unchanged object is downloaded once, and a changed one again."""

from __future__ import annotations

import dataclasses
import hashlib
import os

from storage import urls
from storage.settings import StorageSettings
from storage.store import Store, StoredObject, in_parallel

_SECOND = 10**9


@dataclasses.dataclass(frozen=True)
class Copies:
    """Local copies of objects in a folder, as FOLDER/PROVIDER/BUCKET/KEY.

    Attributes:
      folder: the folder.
      settings: how stores are reached.
    """

    folder: str
    settings: StorageSettings

    def path_of(self, url: str) -> str:
        """Returns the path of the copy of an object, or of a pattern in place of one."""
        place = urls.parse(url)
        return os.path.join(self.folder, place.folder, place.key).rstrip("/")

    def bucket_of(self, url: str) -> Store:
        """Returns the whole bucket of a URL."""
        return Store(urls.bucket_of(url), self.settings)

    def refresh(self, url: str, entries: list[StoredObject]) -> None:
        """Downloads the objects of a bucket whose copies are absent or old.

        Args:
          url: any URL of the bucket.
          entries: the objects. Their names are keys.

        Raises:
          FileNotFoundError: an object is gone.
          StoreError, StoreUnavailable: an object cannot be read.
          OSError: a copy cannot be written.
        """
        store, beginning = self.bucket_of(url), urls.bucket_of(url)

        def refresh(entry: StoredObject) -> None:
            file = self.path_of(urls.join(beginning, entry.name))
            wanted = _stamp(entry, store.tag(entry.name))
            if _is_current(file, entry.size, wanted):
                return
            store.download(entry, file)
            os.utime(file, ns=(wanted, wanted))

        in_parallel(refresh, entries)

    def is_current(self, url: str) -> bool:
        """Returns whether the copy of an object has its present content."""
        store, key = self.bucket_of(url), urls.parse(url).key
        entry = store.find(key)
        return entry is not None and _is_current(self.path_of(url), entry.size, _stamp(entry, store.tag(key)))


def _stamp(entry: StoredObject, tag: str) -> int:
    """Returns the time of a copy, in nanoseconds: the second of the object's last change, then a hash of its ETag.

    Stores round times to seconds. With the hash, each new content has another time, so all that compare sizes and times
    of files see the change, such as the cache of runs.
    """
    digest = hashlib.sha256(tag.encode()).digest()
    return entry.changed // _SECOND * _SECOND + int.from_bytes(digest[:8], "big") % _SECOND // 1000 * 1000


def _is_current(file: str, size: int, stamp: int) -> bool:
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (size, stamp)
