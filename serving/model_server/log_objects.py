"""Request logs in an object store: whole files are uploaded, and wait in a folder of this machine until then."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable
from pathlib import Path

from storage.cache import cache_folder
from storage.urls import is_object, parse

SECONDS = 300.0
"""A file is uploaded at this age, so that a server without many requests uploads them too."""


class LogObjects:
    """The objects of one prefix.

    Args:
      url: how the URLs of the objects begin, such as `s3://bucket/logs/films`.
    """

    def __init__(self, url: str) -> None:
        self._folder, _, name = url.rpartition("/")
        self.waiting = cache_folder() / "request-logs" / hashlib.sha256(url.encode()).hexdigest()[:12] / name

    def upload(self, files: Iterable[Path]) -> None:
        """Uploads whole files, oldest first, and deletes each one here afterwards.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails. The others wait.
        """
        from storage.store import Store  # imports PyArrow

        store = Store(self._folder)
        for file in sorted(files):
            store.send(str(file), _object_name(file))
            file.unlink(missing_ok=True)


def _object_name(file: Path) -> str:
    """Returns the name of the object. In containers, processes of many machines have the same number."""
    about = f"{socket.gethostname()} {file.stat().st_mtime_ns}"
    return f"{file.stem}-{hashlib.sha256(about.encode()).hexdigest()[:8]}{file.suffix}"


def is_prefix(url: str) -> bool:
    """Returns whether `url` is a prefix of objects: a bucket, and the beginning of a name."""
    try:
        return is_object(url) and bool(parse(url).key) and not url.endswith("/")
    except ValueError:
        return False
