"""Objects of a store as input files: finds those that a run reads, and keeps local copies of them.

The copies are in the folders of the keys. Files are then found, recognized, fingerprinted and read as any local files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from typing import TypeVar

from components.pair_example_gen.inputs import InputFile
from components.pair_example_gen.settings import CopiedObjects, DataSettings
from components.pair_example_gen.source import (
    any_span,
    check_span,
    glob_regex,
    has_span,
    is_left_out,
    matches_of,
    split_path,
)
from components.pair_example_gen.spans import Span, choose
from errors import InputError, StoreError, StoreUnavailable
from kindred import advice
from storage import urls
from storage.copies import Copies
from storage.store import Store, StoredObject, in_parallel

D = TypeVar("D", bound=DataSettings)
_WILD = re.compile(r"[*?\[]")
_ARCHIVE = re.compile(r"(.+?\.zip)/.*", re.IGNORECASE)


def are_in(settings: DataSettings) -> bool:
    """Returns whether the pairs or the features are objects."""
    return any(map(urls.is_object, (settings.path, *(given.path for given in settings.features.values()))))


def with_copies(settings: D, copied: CopiedObjects) -> D:
    """Downloads the objects that a run reads, and returns the settings with the paths of their copies.

    Copies of objects that are gone are deleted. With spans, only the chosen ones are downloaded.

    Raises:
      InputError: no object matches, or a copy cannot be written.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    copies = Copies(copied.folder, copied.storage)
    changes: dict[str, object] = {}
    if urls.is_object(settings.path):
        changes["path"] = _copied("data.path", settings.path, copies, settings)
    for side, given in settings.features.items():
        if urls.is_object(given.path):
            local = _copied(f"data.{side}_features.path", given.path, copies, None)
            changes[f"{side}_features"] = given.replace(path=local)
    return settings.replace(**changes)


def choose_spans(settings: DataSettings, copied: CopiedObjects | None) -> list[Span]:
    """Returns the spans that a run reads, of files or of objects. Downloads nothing.

    Args:
      settings: section `data`.
      copied: how stores are reached, or None if no path is the URL of objects.

    Raises:
      InputError: no span is between the bounds, or nothing matches.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    if copied is None or not urls.is_object(settings.path):
        return choose(*split_path(settings.path), settings)
    copies = Copies(copied.folder, copied.storage)
    entries = _entries("data.path", settings.path, copies)
    return choose(*split_path(copies.path_of(settings.path)), settings, list(entries))


def named_by_url(files: list[InputFile], copied: CopiedObjects | None) -> list[InputFile]:
    """Returns the files with the URLs of objects in place of the paths of their copies."""
    return [dataclasses.replace(file, path=_url_of(file.path, copied) or file.path) for file in files]


def urls_of(files: list[str], copied: CopiedObjects | None) -> list[str]:
    """Returns the URLs of the objects whose copies are `files`, for workers without access to the copies.

    Raises:
      InputError: a file is not the copy of an object, or is in an archive.
    """
    found = []
    for file in files:
        url = _url_of(file, copied)
        if url is None or not os.path.isfile(file):
            why = "is not an object" if url is None else "is in an archive. Unpack it"
            raise InputError(
                f"data.path: {url or file}: workers of beam.profile dataflow read objects only, and it {why}"
            )
        found.append(url)
    return found


def refuse_changed(urls_read: list[str], copied: CopiedObjects) -> None:
    """Compares objects that workers have read with their copies.

    Raises:
      InputError: an object has changed since it was copied.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    copies = Copies(copied.folder, copied.storage)
    for url, is_current in zip(urls_read, in_parallel(copies.is_current, urls_read), strict=True):
        if not is_current:
            raise InputError(f"data.path: {url} changed while it was read. Run again when no program writes to it")


def _url_of(file: str, copied: CopiedObjects | None) -> str | None:
    beginning = os.path.join(copied.folder, "") if copied else None
    if beginning is None or not file.startswith(beginning):
        return None
    return file.removeprefix(beginning).replace("/", "://", 1)


def _copied(key: str, url: str, copies: Copies, spans: DataSettings | None) -> str:
    """Copies the objects that match `url`, and returns the pattern of their copies."""
    pattern = copies.path_of(url)
    entries = _entries(key, url, copies)
    wanted = _wanted(pattern, entries, spans)
    try:
        _remove_old(pattern, entries)
        with _naming(key):
            copies.refresh(url, wanted)
    except FileNotFoundError as error:
        raise InputError(f"{key}: {url} changed while it was read ({error}). Run again") from None
    except OSError as error:
        raise InputError(
            f"{copies.folder} cannot be written ({error.strerror}). {advice.set_root('another directory')}"
        ) from None
    return pattern


def _entries(key: str, url: str, copies: Copies) -> dict[str, StoredObject]:
    """Returns the objects that match `url` by the paths of their copies."""
    with _naming(key):
        entries = {
            copies.path_of(urls.join(urls.bucket_of(url), entry.name)): entry for entry in _matching(url, copies)
        }
    if not entries:
        raise InputError(f"{key}: {url}: no object matches. Correct the URL, or check what the bucket has")
    return entries


@contextlib.contextmanager
def _naming(key: str) -> Iterator[None]:
    """Puts the key of the pipeline file before messages of stores."""
    try:
        yield
    except (StoreError, StoreUnavailable) as error:
        raise type(error)(f"{key}: {error}") from None


def _matching(url: str, copies: Copies) -> list[StoredObject]:
    """Returns the objects of a bucket that match the key of a URL, or are below a match."""
    store, key = copies.bucket_of(url), any_span(urls.parse(url).key)
    if not _WILD.search(key):
        found = store.find(key) if key else None
        return [found] if found else store.objects(key) or _archive(store, key)
    parts = key.split("/")
    fixed = next(number for number, part in enumerate(parts) if _WILD.search(part))
    wanted = re.compile(glob_regex(key) + "(?:/.*)?")
    return [entry for entry in store.objects("/".join(parts[:fixed])) if wanted.fullmatch(entry.name)]


def _archive(store: Store, key: str) -> list[StoredObject]:
    """Returns the archive that `key` names a member of."""
    inside = _ARCHIVE.fullmatch(key)
    found = store.find(inside[1]) if inside else None
    return [found] if found else []


def _wanted(pattern: str, entries: dict[str, StoredObject], spans: DataSettings | None) -> list[StoredObject]:
    """Returns the objects to read: those of the chosen spans, without hidden ones."""
    base, below = split_path(pattern)
    if spans is not None and has_span(pattern):
        check_span(base, below, list(entries))
        chosen = choose(base, below, spans, list(entries))
        patterns = [glob_regex(os.path.join(base, span.pattern)) for span in chosen]
        of_spans = re.compile(f"(?:{'|'.join(patterns)})(?:/.*)?")
        entries = {file: entry for file, entry in entries.items() if of_spans.fullmatch(file)}
    return [entry for file, entry in entries.items() if not is_left_out(file, base, any_span(below))]


def _remove_old(pattern: str, entries: dict[str, StoredObject]) -> None:
    for file in matches_of(any_span(pattern)):
        if file not in entries and os.path.isfile(file):
            os.remove(file)
