"""Locates published models. Does not import TensorFlow."""

from __future__ import annotations

from pathlib import Path

from errors import ModelNotFound
from storage.urls import is_object, parse


def find_model(path: Path | str) -> Path:
    """Returns the directory of a SavedModel. Downloads one of an object store.

    Args:
      path: a SavedModel, or a directory of versions. A version is a directory whose name is a number. Or the URL of
        one of them. Or a root or its URL, whose versions are in its directory `serving`.

    Returns:
      `path` if it is a SavedModel, otherwise its version with the highest number.

    Raises:
      ModelNotFound: the directory has no version, or does not exist.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    if is_object(str(path)):
        return _downloaded(str(path))
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    versions = _versions(path) or _versions(path / "serving")
    if not versions:
        problem = "no model version in this directory" if path.is_dir() else "no such directory"
        raise ModelNotFound(f"--model {path}: {problem}. `kindred run` publishes to ROOT/serving")
    return max(versions, key=lambda version: int(version.name))


def _versions(directory: Path) -> list[Path]:
    entries = directory.iterdir() if directory.is_dir() else ()
    return [entry for entry in entries if entry.name.isdecimal() and entry.is_dir()]


def _downloaded(url: str) -> Path:
    from serving.downloads import find_version, local_copy

    try:
        parse(url)
        return Path(local_copy(find_version(url)))
    except ValueError as error:
        raise ModelNotFound(f"--model: {error}") from None
