"""Digests of artifacts, stored with them in ML Metadata. A cached artifact counts only while its files have them.

TFX's cache trusts a path: a changed file in it would be trained on, evaluated and published without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from kindred.digests import file_digests, first_difference

DIGESTS_PROPERTY = "file_digests"


def add_digests(artifacts: Iterable[metadata_store_pb2.Artifact]) -> list[metadata_store_pb2.Artifact]:
    """Adds the digests of its files to each artifact on this machine. Returns those that changed.

    Call it as soon as the files are written: the key of TFX's cache has the properties of a node's inputs.
    """
    changed = []
    for artifact in artifacts:
        if _is_local(artifact) and Path(artifact.uri).is_dir():
            artifact.custom_properties[DIGESTS_PROPERTY].string_value = json.dumps(file_digests(artifact.uri))
            changed.append(artifact)
    return changed


def damage(artifact: metadata_store_pb2.Artifact) -> str | None:
    """Returns the path of an artifact that is missing or changed, or None if the artifact is whole.

    Only the folder of an artifact of an older release, without digests, is checked.
    """
    if not _is_local(artifact) or artifact.state != metadata_store_pb2.Artifact.LIVE:
        return None
    folder = Path(artifact.uri)
    if not folder.exists():
        return str(folder)
    text = digests_of(artifact)
    wrong = first_difference(file_digests(artifact.uri), json.loads(text)) if text else None
    return None if wrong is None else str(folder / wrong)


def digests_of(artifact: metadata_store_pb2.Artifact) -> str:
    """Returns the digests of an artifact as JSON, or no text for one without."""
    properties = artifact.custom_properties
    return properties[DIGESTS_PROPERTY].string_value if DIGESTS_PROPERTY in properties else ""


def _is_local(artifact: metadata_store_pb2.Artifact) -> bool:
    return bool(artifact.uri) and "://" not in artifact.uri
