"""Locates published models. Does not import TensorFlow."""

from __future__ import annotations

from pathlib import Path

from errors import ModelNotFound


def find_model(path: Path) -> Path:
    """Returns the directory of a SavedModel.

    Args:
      path: a SavedModel, or a directory of versions. A version is a directory whose name is a number.

    Returns:
      `path` if it is a SavedModel, otherwise its version with the highest number.

    Raises:
      ModelNotFound: the directory has no version, or does not exist.
    """
    if (path / "saved_model.pb").is_file():
        return path
    entries = path.iterdir() if path.is_dir() else ()
    versions = [entry for entry in entries if entry.name.isdecimal() and entry.is_dir()]
    if not versions:
        problem = "no model version in this directory" if path.is_dir() else "no such directory"
        raise ModelNotFound(f"--model {path}: {problem}. `kindred run` publishes to ROOT/serving")
    return max(versions, key=lambda version: int(version.name))
