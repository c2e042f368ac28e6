"""One bucket or folder of an object store: list, read, write, copy and delete objects, several at a time."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from errors import StoreError
from storage import urls
from storage.connect import connect
from storage.faults import ERRORS, attempt, refuse_missing_bucket
from storage.settings import StorageSettings

T = TypeVar("T")
R = TypeVar("R")
_BLOCK = 4 << 20
_TRANSFERS = 8
_LARGEST_COPY = 5 * 10**9  # the limit of S3, a little less than 5 GiB


@dataclasses.dataclass(frozen=True)
class StoredObject:
    """An object.

    Attributes:
      name: its key below the URL of the store.
      size: size in bytes.
      changed: time of the last change, in nanoseconds since 1970. 0 if unknown.
    """

    name: str
    size: int
    changed: int


class Store:
    """The objects below a URL.

    All methods repeat requests that fail for a moment. They raise `StoreError` if the store refuses a request or cannot
    be reached, and `StoreUnavailable` if it fails each time.

    Args:
      url: such as `s3://bucket/models`. Names of objects are relative to it.
      settings: how the store is reached.

    Example:
      store = Store("s3://bucket/models", StorageSettings(endpoint="http://minio:9000"))
      store.write("1/saved_model.pb", b"...")
    """

    def __init__(self, url: str, settings: StorageSettings | None = None) -> None:
        self.url = url.rstrip("/")
        self._settings = settings or StorageSettings()
        self._place = urls.parse(url)

    @functools.cached_property
    def _system(self) -> pa.fs.FileSystem:
        return connect(self._place, self._settings)

    def objects(self, name: str = "") -> list[StoredObject]:
        """Returns all objects below a name, sorted. Empty if there is none."""
        from pyarrow import fs

        selector = fs.FileSelector(self._path(name), recursive=True, allow_not_found=True)
        found = self._listed(name, selector)
        files = (info for info in found if info.type == fs.FileType.File)
        return sorted((self._described(info) for info in files), key=lambda entry: entry.name)

    def _listed(self, name: str, selector: pa.fs.FileSelector) -> list[pa.fs.FileInfo]:
        found = self._do(name, lambda: self._system.get_file_info(selector))
        if not found:
            self._refuse_missing_bucket()
        return list(found)

    def check_bucket(self) -> None:
        """Checks that the bucket exists and can be listed."""
        self.objects(f".{uuid.uuid4().hex}")

    def _refuse_missing_bucket(self) -> None:
        """Lists the bucket, because PyArrow lists a missing one as an empty folder. Some users may not list it."""
        from pyarrow import fs

        try:
            self._system.get_file_info(fs.FileSelector(self._place.bucket))
        except ERRORS as error:
            refuse_missing_bucket(self.url, self._settings, error)

    def folders(self, name: str = "") -> list[str]:
        """Returns the names directly below a name, of folders and of objects, sorted."""
        from pyarrow import fs

        # PyArrow's client of Google lists a folder only if an empty object stands for it.
        all_below = self._place.provider == "gs"
        selector = fs.FileSelector(self._path(name), recursive=all_below, allow_not_found=True)
        beginning = len(self._path(name)) + 1
        return sorted({info.path[beginning:].split("/")[0] for info in self._listed(name, selector)})

    def find(self, name: str) -> StoredObject | None:
        """Returns an object, or None if there is none with this name."""
        from pyarrow import fs

        info = self._do(name, lambda: self._system.get_file_info(self._path(name)))
        return self._described(info) if info.type == fs.FileType.File else None

    def tag(self, name: str) -> str:
        """Returns a text that changes with the content of an object: its ETag.

        Raises:
          FileNotFoundError: there is no such object.
        """
        return self._do(name, lambda: _tag(self._system.open_input_file(self._path(name))))

    def read(self, name: str) -> bytes:
        """Returns the content of a small object.

        Raises:
          FileNotFoundError: there is no such object.
        """

        def read() -> bytes:
            with self._system.open_input_stream(self._path(name)) as source:
                return bytes(source.read())

        return self._do(name, read)

    def opened(self, name: str) -> pa.NativeFile:
        """Opens an object for random access. Later reads are repeated by PyArrow only.

        Raises:
          FileNotFoundError: there is no such object.
        """
        return self._do(name, lambda: self._system.open_input_file(self._path(name)))

    def write(self, name: str, content: bytes) -> None:
        """Writes a small object. Readers see it whole or not at all."""

        def write() -> None:
            with self._system.open_output_stream(self._path(name)) as out:
                out.write(content)

        self._put(name, write)

    def upload(self, file: str, name: str) -> str:
        """Uploads a local file, then reads it back and compares.

        Returns:
          The SHA-256 of the file.

        Raises:
          StoreError: what the store returns differs from the file.
          OSError: the file cannot be read.
        """
        uploaded = self.send(file, name)
        if uploaded != self.digest(name):
            raise StoreError(f"{urls.join(self.url, name)} differs from {file}, which was uploaded. Run again")
        return uploaded

    def send(self, file: str, name: str) -> str:
        """Uploads a local file, and does not read it back. Readers see it whole or not at all.

        Returns:
          The SHA-256 of what was read from the file.

        Raises:
          OSError: the file cannot be read.
        """

        def send() -> str:
            digest = hashlib.sha256()
            with open(file, "rb") as source, self._system.open_output_stream(self._path(name)) as out:
                for block in iter(lambda: source.read(_BLOCK), b""):
                    digest.update(block)
                    out.write(block)
            return digest.hexdigest()

        return self._put(name, send)

    def digest(self, name: str) -> str:
        """Returns the SHA-256 of an object. Reads all of it."""

        def read() -> str:
            digest = hashlib.sha256()
            for block in self._blocks(name):
                digest.update(block)
            return digest.hexdigest()

        return self._do(name, read)

    def download(self, entry: StoredObject, file: str) -> None:
        """Downloads an object. The file appears only when complete, with the size of the object.

        Raises:
          FileNotFoundError: there is no such object.
          OSError: the file cannot be written.
        """
        os.makedirs(os.path.dirname(file), exist_ok=True)
        staged = f"{file}.{uuid.uuid4().hex}.part"

        def download() -> None:
            with open(staged, "wb") as out:
                out.writelines(self._blocks(entry.name))
                if out.tell() != entry.size:
                    raise OSError(f"incomplete: {out.tell():,} of {entry.size:,} bytes arrived")

        try:
            self._do(entry.name, download)
            os.replace(staged, file)
        finally:
            if os.path.lexists(staged):
                os.remove(staged)

    def copy(self, entry: StoredObject, target: str) -> None:
        """Copies an object inside the store, or through this machine if it is too large for that.

        The target appears whole or not at all.
        """

        def copy() -> None:
            if entry.size <= _LARGEST_COPY:
                self._system.copy_file(self._path(entry.name), self._path(target))
                return
            with self._system.open_output_stream(self._path(target)) as out:
                out.writelines(self._blocks(entry.name))

        self._do(target, copy)

    def delete(self, name: str) -> None:
        """Deletes an object. One that is gone already is no error."""
        try:
            self._do(name, lambda: self._system.delete_file(self._path(name)))
        except FileNotFoundError:
            return

    def delete_folder(self, name: str) -> None:
        """Deletes all objects below a name, and the empty objects that stand for folders."""
        try:
            self._do(name, lambda: self._system.delete_dir(self._path(name)))
        except FileNotFoundError:
            return

    def _blocks(self, name: str) -> Iterator[bytes]:
        with self._system.open_input_stream(self._path(name)) as source:
            while block := source.read(_BLOCK):
                yield block

    def _path(self, name: str) -> str:
        return f"{self._place.path}/{name}" if name else self._place.path

    def _described(self, info: pa.fs.FileInfo) -> StoredObject:
        return StoredObject(info.path[len(self._place.path) + 1 :], int(info.size), int(info.mtime_ns or 0))

    def _put(self, name: str, work: Callable[[], R]) -> R:
        try:
            return self._do(name, work)
        except FileNotFoundError as error:
            if error.filename is None:  # of the store, which has no such bucket
                refuse_missing_bucket(self.url, self._settings, error)
            raise

    def _do(self, name: str, work: Callable[[], R]) -> R:
        return attempt(urls.join(self.url, name) if name else self.url, self._settings, work)


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Returns the results of `work` for each item, several at a time, in order. Raises the first error."""
    with ThreadPoolExecutor(_TRANSFERS) as pool:
        return list(pool.map(work, items))


def _tag(stream: pa.NativeFile) -> str:
    with stream:
        metadata = stream.metadata() or {}
        known = {_text(key).lower(): _text(value) for key, value in metadata.items()}
    return known.get("etag") or str(sorted(known.items()))


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
