"""The manifest of a version: the digest of each file, to verify copies and to recognize a model.

The manifest does not cover the model card. The card describes the model, and the model stays the same when the card
changes.
"""

from __future__ import annotations

import hashlib
import json
import os

# TensorFlow Serving ignores unknown files in assets.extra.
MANIFEST = os.path.join("assets.extra", "manifest.json")
CARD = os.path.join("assets.extra", "model_card.md")


def file_digests(model: str) -> dict[str, str]:
    """Returns the SHA-256 of every file below `model` by relative path, except of a manifest and a card."""
    digests = {}
    for folder, _, names in os.walk(model):
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, model)
            if relative not in (MANIFEST, CARD):
                digests[relative] = _digest(path)
    return dict(sorted(digests.items()))


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_copy(copy: str, digests: dict[str, str]) -> None:
    """Compares `copy` with the digests of its source.

    Raises:
      OSError: a file is missing, different or unexpected. The message names it.
    """
    digests_of_copy = file_digests(copy)
    if digests_of_copy != digests:
        wrong = sorted(name for name in {*digests_of_copy, *digests} if digests_of_copy.get(name) != digests.get(name))
        raise OSError(
            f"{os.path.join(copy, wrong[0])} differs from its source. Check the disk for free space and errors."
        )


def write_manifest(model: str, digests: dict[str, str]) -> None:
    """Writes `digests` into the version `model`."""
    path = os.path.join(model, MANIFEST)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(digests, out, indent=1)


def read_manifest(model: str) -> dict[str, str] | None:
    """Reads the digests of the version `model`, or None if they are unreadable."""
    try:
        with open(os.path.join(model, MANIFEST), encoding="utf-8") as source:
            digests: dict[str, str] = json.load(source)
    except (OSError, ValueError):
        return None
    return digests
