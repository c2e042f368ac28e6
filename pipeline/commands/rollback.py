"""Rolls back to an earlier version, and records the change in ML Metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import traceback
from collections.abc import Callable
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.batch_lists.stored import open_lists
from components.pusher.destination import open_versions
from components.pusher.versions import Versions
from components.pusher.withdrawals import DESTINATION_PROPERTY, PUSHED_MODEL
from components.pusher.withdrawals import ROLLBACK as EXECUTION_TYPE
from errors import RollbackError, StoreError, StoreUnavailable
from pipeline.records.history import storage_of, versions_by_run
from pipeline.records.metadata_backup import backup_of, is_sound, restore_if_damaged
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.store import open_store, recorded
from pipeline.running.console import redirect_output


@dataclasses.dataclass(frozen=True)
class Rollback:
    """The changes of a rollback.

    Attributes:
      directory: the directory of versions.
      restored: the versions that are published again, in the order of the changes.
      withdrawn: the versions that are withdrawn, in the order of the changes.
      served: the version that is served afterwards.
      repaired: a sentence about the database, if it was damaged and its copy replaced it.
    """

    directory: str
    restored: list[int]
    withdrawn: list[int]
    served: int
    repaired: str | None = None

    @classmethod
    def planned(
        cls, directory: str, versions: Versions, version: int | None, undo: bool, newest: int | None = None
    ) -> Rollback:
        """Returns what the options of `kindred rollback` change. `newest` is the only version to withdraw, if given.

        Raises:
          LookupError: there is no version to withdraw or to restore.
        """
        if version is not None:
            return cls(directory, *versions.changes_to(version), served=version)
        if undo:
            restored, _ = versions.restoration()
            return cls(directory, [restored], [], restored)
        withdrawn, served = versions.withdrawal()
        if newest not in (None, withdrawn):
            raise LookupError(f"{directory}: version {withdrawn} was published after {newest}")
        return cls(directory, [], [withdrawn], served)

    def to_json(self) -> dict[str, Any]:
        """Returns the attributes by name."""
        return dataclasses.asdict(self)

    def describe(self) -> str:
        """Returns sentences about the changes."""
        return (f"{self.repaired}. " if self.repaired else "") + self._changes()

    def _changes(self) -> str:
        if not self.withdrawn:
            return f"version {self.served} of {self.directory} is served again"
        one = len(self.withdrawn) == 1
        names = f"version{'' if one else 's'} {', '.join(map(str, self.withdrawn))}"
        back = "--undo" if one and not self.restored else f"--version {self.withdrawn[-1]}"
        return f"{names} of {self.directory} {'is' if one else 'are'} withdrawn and {self.served} is served. " + (
            f"Restore it with {back}." if one else f"Serve the newest one again with {back}."
        )


def roll_back(
    root: Root,
    to: str,
    undo: bool,
    reason: str,
    version: int | None = None,
    write_report: Callable[[RunFolder], object] | None = None,
    newest: int | None = None,
) -> Rollback:
    """Withdraws the newest version below `to`, restores the last withdrawn one, or serves `version`.

    Records each change as an execution of `kindred.Rollback` with the affected pushed model as its input. It is stored
    before the change, so that nothing changes without a record. With `newest`, withdraws no other version than that.

    Returns:
      The changes.

    Raises:
      RollbackError: there is no root, no earlier version, no withdrawn version, or no version `version`.
      RootError: a run is using the root, or its database is damaged.
    """
    if undo and version is not None:
        raise RollbackError("--undo and --version exclude each other. --version also serves a withdrawn version again")
    if not root.metadata.is_file() and not backup_of(root.metadata).is_file():
        raise RollbackError(f"--root {root}: it contains no run. Set --root to the root of a pipeline")
    directory = root.place_of(to)
    with root.locked():
        replaced = restore_if_damaged(root.metadata, root.artifacts)
        if not is_sound(root.metadata):
            raise RollbackError(f"--root {root}: its database {root.metadata.name} is empty, so it contains no run")
        versions = open_versions(directory, storage=storage_of(root))
        try:
            plan = Rollback.planned(directory, versions, version, undo, newest)
        except LookupError as error:
            raise RollbackError(str(error)) from None
        properties: dict[str, int | str | None] = {"served": plan.served, "reason": reason}
        for number in plan.restored:
            with _recorded(root, directory, number, {**properties, "undo": 1}):
                versions.restore(number)
        for number in plan.withdrawn:
            with _recorded(root, directory, number, {**properties, "undo": 0}):
                versions.withdraw(number)
        open_lists(root.place_of(root.lists.name), storage_of(root)).point(plan.served)
        if write_report:
            _update_reports(root, directory, [*plan.restored, *plan.withdrawn], write_report)
    return dataclasses.replace(plan, repaired=replaced)


def _update_reports(
    root: Root, directory: str, changed: list[int], write_report: Callable[[RunFolder], object]
) -> None:
    """Writes the reports of the runs that made some versions, if they have one."""
    for run_id, number in versions_by_run(root, directory).items():
        folder = RunFolder(root.runs / run_id)
        if number in changed and (folder.report.is_file() or folder.report in root.stored_files()):
            rewrite(folder, write_report)


def rewrite(folder: RunFolder, write_report: Callable[[RunFolder], object]) -> None:
    """Writes the report of a run again. A failure is in its log only, because the version has changed all the same."""
    with contextlib.suppress(StoreError, StoreUnavailable):
        folder.fetch()
    with contextlib.suppress(OSError), redirect_output(folder.log):  # the log may be read-only
        try:
            write_report(folder)
        except Exception:
            traceback.print_exc()


def _recorded(
    root: Root, directory: str, version: int, properties: dict[str, int | str | None]
) -> contextlib.AbstractContextManager[None]:
    """Stores an execution about a version, and whether the block succeeded."""
    store = open_store(root.metadata)
    facts = {"directory": directory, "version": version, **properties}
    return recorded(store, EXECUTION_TYPE, facts, _pushed(store, os.path.join(directory, str(version))))


def _pushed(store: mlmd.MetadataStore, destination: str) -> list[metadata_store_pb2.Artifact]:
    """Returns the pushed model with version `destination`: the last one, if the number was used more than once."""
    try:
        pushed = store.get_artifacts_by_type(PUSHED_MODEL)
    except mlmd.errors.NotFoundError:
        return []
    same = [a for a in pushed if a.custom_properties[DESTINATION_PROPERTY].string_value == destination]
    return sorted(same, key=lambda artifact: artifact.id)[-1:]
