"""The manifest of a version: the digest of each file, to verify copies and to recognize a model, and who published it.

The manifest does not cover the model card. The card describes the model, and the model stays the same when the card
changes.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from kindred.digests import file_digests, first_difference

# TensorFlow Serving ignores unknown files in assets.extra.
MANIFEST = os.path.join("assets.extra", "manifest.json")
CARD = os.path.join("assets.extra", "model_card.md")


def model_digests(model: str) -> dict[str, str]:
    """Returns the SHA-256 of every file below `model` by relative path, except of a manifest and a card."""
    return {name: digest for name, digest in file_digests(model).items() if name not in (MANIFEST, CARD)}


def check_copy(copy: str, digests: dict[str, str]) -> None:
    """Compares `copy` with the digests of its source.

    Raises:
      OSError: a file is missing, different or unexpected. The message names it.
    """
    wrong = first_difference(model_digests(copy), digests)
    if wrong is not None:
        raise OSError(f"{os.path.join(copy, wrong)} differs from its source. Check the disk for free space and errors.")


class Manifest(NamedTuple):
    """The manifest of a version.

    Attributes:
      files: SHA-256 of every file by relative path.
      pipeline: name of the pipeline that published the version, or None if an older release of Kindred wrote it.
    """

    files: dict[str, str]
    pipeline: str | None = None

    def to_json(self) -> str:
        """Returns the content of the file."""
        return json.dumps({"pipeline": self.pipeline, "files": self.files}, indent=1)


def parse_manifest(text: str) -> Manifest | None:
    """Returns the manifest with the content `text`, or None if it is no manifest."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    files = content.get("files")
    return Manifest(files, content.get("pipeline")) if isinstance(files, dict) else Manifest(content)


def write_manifest(model: str, manifest: Manifest) -> None:
    """Writes `manifest` into the version `model`."""
    path = os.path.join(model, MANIFEST)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(manifest.to_json())


def read_manifest(model: str) -> Manifest | None:
    """Reads the manifest of the version `model`, or None if it is unreadable."""
    try:
        with open(os.path.join(model, MANIFEST), encoding="utf-8") as source:
            return parse_manifest(source.read())
    except (OSError, ValueError):
        return None


def damage(model: str) -> str | None:
    """Returns the first file of the version `model` that differs from its manifest, or None. A manifest can be absent.

    Args:
      model: a local directory.
    """
    manifest = read_manifest(model)
    return None if manifest is None else first_difference(model_digests(model), manifest.files)
