"""Selects the publishing destination: a local directory or a URL."""

from __future__ import annotations

from components.pusher.local import LocalVersions
from components.pusher.remote import RemoteVersions
from components.pusher.versions import Versions


def is_remote(directory: str) -> bool:
    """Returns whether `directory` is a URL, such as gs://bucket/models."""
    return "://" in directory


def at(directory: str) -> Versions:
    """Returns the versions in `directory`."""
    return RemoteVersions(directory) if is_remote(directory) else LocalVersions(directory)
