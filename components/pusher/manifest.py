"""The manifest of a version: a digest of each of its files, by which a copy is checked and a model recognised.

The model's card lies beside it and is not in it: the card says what is known of the model, and the model is the same
whatever that is.
"""

from __future__ import annotations

import hashlib
import json
import os

# TensorFlow Serving passes over what it does not know in assets.extra.
MANIFEST = os.path.join("assets.extra", "manifest.json")
CARD = os.path.join("assets.extra", "model_card.md")


def file_digests(model: str) -> dict[str, str]:
    """SHA-256 of every file below `model` except a manifest and a card, by relative path."""
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
    """Compares `copy` with what it was copied from.

    Raises:
      OSError: a file is missing, differs or is one too many; names it.
    """
    found = file_digests(copy)
    if found != digests:
        wrong = sorted(name for name in {*found, *digests} if found.get(name) != digests.get(name))
        raise OSError(f"{os.path.join(copy, wrong[0])} is not what it was copied from; is the disk full or failing?")


def write_manifest(model: str, digests: dict[str, str]) -> None:
    """Writes `digests` into the version `model`."""
    path = os.path.join(model, MANIFEST)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(digests, out, indent=1)


def read_manifest(model: str) -> dict[str, str] | None:
    """The digests that the version `model` was published with; None where they cannot be read."""
    try:
        with open(os.path.join(model, MANIFEST), encoding="utf-8") as source:
            digests: dict[str, str] = json.load(source)
    except (OSError, ValueError):
        return None
    return digests
