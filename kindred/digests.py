"""Digests of files, to find damage before it is used."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor


def file_digests(folder: str) -> dict[str, str]:
    """Returns the SHA-256 of every file below `folder` by relative path, in order of the paths."""
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = zip(paths, threads.map(_digest, paths), strict=True)
        return dict(sorted((os.path.relpath(path, folder), digest) for path, digest in digests))


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
