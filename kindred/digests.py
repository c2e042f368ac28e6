"""Digests of files, to find damage before it is used."""

from __future__ import annotations

import hashlib
import os


def file_digests(folder: str) -> dict[str, str]:
    """Returns the SHA-256 of every file below `folder` by relative path, in order of the paths."""
    digests = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            digests[os.path.relpath(path, folder)] = _digest(path)
    return dict(sorted(digests.items()))


def first_difference(actual: dict[str, str], expected: dict[str, str]) -> str | None:
    """Returns the first path that is missing, added or different, or None."""
    wrong = (name for name in sorted({*actual, *expected}) if actual.get(name) != expected.get(name))
    return next(wrong, None)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
