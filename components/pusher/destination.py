"""The publishing destination: a local directory or a URL, with nothing in it that the pipeline did not publish."""

from __future__ import annotations

from components.pusher.local import LocalVersions
from components.pusher.remote import RemoteVersions
from components.pusher.versions import Versions
from errors import ConfigError
from storage.settings import StorageSettings
from storage.urls import SCHEMES_IN_WORDS, is_object


def open_versions(directory: str, pipeline: str | None = None, storage: StorageSettings | None = None) -> Versions:
    """Returns the versions in `directory`, a path or a URL such as gs://bucket/models.

    Args:
      directory: the destination.
      pipeline: name of the pipeline that publishes there, if any.
      storage: how an object store is reached.

    Raises:
      ConfigError: the URL is not one of an object store.
    """
    if "://" not in directory:
        return LocalVersions(directory, pipeline)
    if not is_object(directory):
        raise ConfigError(f"{directory}: must be a directory, or a URL that begins with {SCHEMES_IN_WORDS}")
    return RemoteVersions(directory, pipeline, storage)


def refuse_foreign(versions: Versions, pipeline: str) -> None:
    """Refuses a destination in which publishing would mix with, and retention could remove, the work of others.

    Args:
      versions: the versions in the destination.
      pipeline: name of the pipeline that publishes.

    Raises:
      ConfigError: a folder with a number in it was not published by `pipeline`.
    """
    foreign = versions.foreign()
    if foreign:
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        raise ConfigError(
            f"publish.to: {versions.directory} has the folder {foreign[0]}{more}, without a manifest of the pipeline "
            f"{pipeline}. Kindred publishes only where all folders with a number are its own, because it removes old "
            "ones. Set publish.to to another directory, or move the folder away"
        )
