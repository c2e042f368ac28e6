"""Puts a SavedModel into a directory of versions, as TensorFlow Serving watches one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile

# TensorFlow Serving passes over what is not a number, and over what it does not know in assets.extra.
_STAGING_PREFIX = ".staging-"
MANIFEST = os.path.join("assets.extra", "manifest.json")


def versions(directory: str) -> list[int]:
    """The published versions in `directory`, oldest first; entries that are no version are passed over."""
    if not os.path.isdir(directory):
        return []
    return sorted(int(name) for name in os.listdir(directory) if name.isdecimal())


def publish(model: str, directory: str) -> int:
    """Copies SavedModel `model` into `directory` as the next version, which appears by one rename.

    A poll at any moment sees a whole version or none; two publishers at once get different versions.

    Returns:
      The version.
    """
    os.makedirs(directory, exist_ok=True)
    staging = tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=directory)
    try:
        shutil.copytree(model, staging, dirs_exist_ok=True)
        _write_manifest(staging)
        os.chmod(staging, 0o755)
        return _rename_to_next_version(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def newest_if_same(model: str, directory: str) -> int | None:
    """The newest version in `directory` if it was published from the very files of `model`, else None."""
    newest = max(versions(directory), default=None)
    if newest is None:
        return None
    try:
        with open(os.path.join(directory, str(newest), MANIFEST), encoding="utf-8") as source:
            published = json.load(source)
    except (OSError, ValueError):
        return None
    return newest if published == file_digests(model) else None


def file_digests(model: str) -> dict[str, str]:
    """SHA-256 of every file below `model` except a manifest, by relative path."""
    digests = {}
    for folder, _, names in os.walk(model):
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, model)
            if relative != MANIFEST:
                digests[relative] = _digest(path)
    return dict(sorted(digests.items()))


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_manifest(model: str) -> None:
    path = os.path.join(model, MANIFEST)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(file_digests(model), out, indent=1)


def _rename_to_next_version(staging: str, directory: str) -> int:
    while True:
        version = max(versions(directory), default=0) + 1
        try:
            # Renaming onto a directory that is not empty fails: whoever comes second takes the next number.
            os.rename(staging, os.path.join(directory, str(version)))
        except OSError:
            if version not in versions(directory):
                raise
        else:
            return version


def retire(directory: str, keep: int) -> None:
    """Removes all but the `keep` newest versions; each disappears by one rename before its files go."""
    for version in versions(directory)[:-keep]:
        retired = tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=directory)
        with contextlib.suppress(FileNotFoundError):  # another publisher was first
            os.rename(os.path.join(directory, str(version)), os.path.join(retired, str(version)))
        shutil.rmtree(retired, ignore_errors=True)
