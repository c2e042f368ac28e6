"""Where published models are: a directory of versions, or one version of it. Needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from errors import ModelNotFound


def find_model(path: Path) -> Path:
    """The SavedModel that `path` means: itself, or the newest version below it.

    Raises:
      ModelNotFound: there is neither.
    """
    if (path / "saved_model.pb").is_file():
        return path
    entries = path.iterdir() if path.is_dir() else ()
    versions = [entry for entry in entries if entry.name.isdecimal() and entry.is_dir()]
    if not versions:
        what = "no version in it" if path.is_dir() else "no such directory"
        raise ModelNotFound(f"--model {path}: {what}; `kindred run` publishes to ROOT/serving")
    return max(versions, key=lambda version: int(version.name))
