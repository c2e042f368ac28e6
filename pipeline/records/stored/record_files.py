"""Records, reports and pages: which of them changed here, and which of them the store has."""

from __future__ import annotations

from pathlib import Path

from pipeline.records.stored.working_copy import Base, Stamp, stamp_of
from storage.store import Store, in_parallel

_PAGES = ("index.html", "monitor.html")
_RUNS = "runs"
_SUMMARY = "summary.json"


def download_records(store: Store, folder: Path, known: dict[str, Stamp | None]) -> dict[str, Stamp | None]:
    """Downloads the records of all runs. Deletes copies of other files that another machine has changed.

    Args:
      store: the root in the store.
      folder: the working copy.
      known: the files that both sides had, by name.

    Returns:
      The files of all runs by name, with the stamp of the copy here, if any.
    """
    entries = [entry for entry in store.objects(_RUNS) if not entry.name.endswith("/")]
    in_parallel(
        lambda entry: store.download(entry, str(folder / entry.name)),
        [entry for entry in entries if entry.name.endswith(f"/{_SUMMARY}")],
    )
    for entry in entries:
        stamp = known.get(entry.name)
        if stamp is not None and stamp[0] != entry.size and not entry.name.endswith(f"/{_SUMMARY}"):
            (folder / entry.name).unlink(missing_ok=True)
    return {entry.name: stamp_of(folder / entry.name) for entry in entries}


def changed_files(folder: Path, base: Base) -> dict[str, Stamp | None]:
    """Returns the records and pages that changed here since the last exchange, with their stamps."""
    found = [folder / name for name in _PAGES]
    for file in (folder / _RUNS).rglob("*"):
        is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and not is_hidden:
            found.append(file)
    stamps = {file.relative_to(folder).as_posix(): stamp_of(file) for file in found}
    return {name: stamp for name, stamp in stamps.items() if stamp and base.files.get(name) != stamp}


def is_of_task(name: str) -> bool:
    """Returns whether a file of a root is the record of a node on Kubeflow, RUNS/RUN/tasks/NODE.json."""
    return name.split("/")[2:3] == ["tasks"]
