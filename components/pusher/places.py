"""Where versions can be published to: a directory of this machine, or one behind a URL."""

from __future__ import annotations

from types import ModuleType

from components.pusher import publish, remote


def is_remote(directory: str) -> bool:
    """Whether `directory` is a URL, such as gs://bucket/models."""
    return "://" in directory


def at(directory: str) -> ModuleType:
    """The module whose functions publish to `directory`; both have the same ones."""
    return remote if is_remote(directory) else publish
