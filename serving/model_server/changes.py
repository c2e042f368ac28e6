"""Files of versions that change after they were read: a broken version is repaired, or a served one is overwritten."""

from __future__ import annotations

import logging
import threading

from serving.model_server.faults import Code
from serving.model_server.hosted_models import HostedModel, ModelVersion, VersionState
from serving.model_server.loading import fingerprint
from storage.urls import is_object

log = logging.getLogger("kindred.model_server")


def look(model: HostedModel, changed: threading.Condition) -> None:
    """Reads the files of versions that failed, and of those of an object store that are served.

    Args:
      model: the model.
      changed: guards it. It is free while files are read, so that requests do not wait for a store.
    """
    with changed:
        entries = [entry for entry in model.versions.values() if not entry.busy and _is_watched(entry)]
    found = [(entry, entry.files, fingerprint(entry.path)) for entry in entries]
    with changed:
        for entry, files, seen in found:
            if entry.files == files:  # otherwise it was loaded meanwhile
                entry.seen = seen


def is_damaged(entry: ModelVersion | None) -> bool:
    """Whether files of a version differ from its manifest, and have not changed since that was found."""
    if entry is None or entry.fault is None or entry.fault.code is not Code.DATA_LOSS:
        return False
    return bool(entry.files == entry.seen)


def report(name: str, model: HostedModel) -> None:
    """Notes which versions are served from memory although their files are others now. Logs each once."""
    for entry in model.available():
        if entry.files == entry.seen or not entry.files:
            entry.note = ""
        elif entry.seen and not entry.note:  # nothing is seen of a store that cannot be reached
            entry.note = (
                f"The files in {entry.path} have changed since this version was loaded. The server answers with "
                "what it loaded. After a restart, it loads the files, or refuses them if the manifest differs"
            )
            log.warning("Servable version {name: %s version: %d}: %s", name, entry.number, entry.note)


def _is_watched(entry: ModelVersion) -> bool:
    return entry.fault is not None or (entry.state is VersionState.AVAILABLE and is_object(entry.path))
