"""Selects the publishing destination: a local directory or a URL."""

from __future__ import annotations

from components.pair_example_gen.files import is_remote
from components.pusher.local import LocalVersions
from components.pusher.remote import RemoteVersions
from components.pusher.versions import Versions


def open_versions(directory: str) -> Versions:
    """Returns the versions in `directory`, a path or a URL such as gs://bucket/models."""
    return RemoteVersions(directory) if is_remote(directory) else LocalVersions(directory)
