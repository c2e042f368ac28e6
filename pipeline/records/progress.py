"""How far a run has got that has not said how it ended: whether it still goes on, and where it is.

summary.json knows only ends: until there is one its status is `failed`, as that of a run that was killed stays. What
tells the two apart is a lock that a run holds for as long as its process lives; what it is at is in ML Metadata.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import filelock

from pipeline.records.run_folder import RunFolder

if TYPE_CHECKING:
    from pipeline.records.executions import Execution


@dataclasses.dataclass(frozen=True)
class Progress:
    """Of a run that has not said how it ended: `node` is the component that it is or was at.

    `since` is when that began; where `node` is None, at the start or between two, when the run did.
    `alive` is None where it cannot be told from here: a run whose nodes are tasks of a cluster holds no lock.
    """

    alive: bool | None
    node: str | None
    since: datetime

    @property
    def place(self) -> str:
        """Where it is, and since when."""
        if self.node is None:
            return f"begun {moment(self.since)}, at no component just now"
        return f"at {self.node} since {moment(self.since)}"

    def __str__(self) -> str:
        """A few words, without the name of the run."""
        if self.alive:
            return f"running, {self.place}"
        at = f" at {self.node}" if self.node else ""
        if self.alive is None:
            return f"not ended, as far as its record goes{at and f'; it was last{at}'}"
        return f"killed{at}, or its machine went down"


def moment(when: datetime) -> str:
    """`2026-11-25 22:07:01 UTC`."""
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


@contextlib.contextmanager
def going_on(folder: RunFolder) -> Iterator[None]:
    """Marks the run in `folder` as one that goes on; the mark goes with the process, however it ends."""
    with filelock.FileLock(folder.running_mark, timeout=0):
        yield


def is_alive(folder: RunFolder) -> bool | None:
    """Whether the process of the run in `folder` lives; None where there is no telling.

    To be asked before the record is read, or a run that ends in between passes for one that was killed.
    """
    try:
        with open(folder.running_mark, "rb") as mark:
            # Shared, so that two who ask at once do not take each other for the run.
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def progress_of(summary: Mapping[str, Any], alive: bool | None, nodes: Mapping[str, Execution]) -> Progress | None:
    """The progress of the run of `summary`, whose nodes are as ML Metadata have them; None once it has ended."""
    if has_ended(summary):
        return None
    at = max((node for node in nodes.values() if node.running), key=lambda node: node.began, default=None)
    if at is None:
        return Progress(alive, None, datetime.fromisoformat(summary["started"]))
    return Progress(alive, at.node_id, datetime.fromtimestamp(at.began, timezone.utc))


def has_ended(summary: Mapping[str, Any]) -> bool:
    """Whether a record says how its run ended; a run that fails gives a reason, and names the component."""
    return summary["status"] != "failed" or "error" in summary or _failed(summary["components"])


def _failed(components: list[dict[str, Any]]) -> bool:
    return any(component["state"] == "failed" for component in components)


def may_have_changed(folder: RunFolder) -> bool:
    """Whether the run in `folder` may have gone on, or been killed, since its report was written."""
    return is_alive(folder) is not None and not has_ended(folder.read_summary())


def headline(folder: RunFolder) -> str:
    """One line about the run in `folder`: its pipeline, its id, how it ended or how far it is."""
    alive = is_alive(folder)
    summary = folder.read_summary()
    told = summary["status"].replace("_", " ")
    if not has_ended(summary):
        told = progress_of(summary, alive, _nodes(folder, summary["run_id"]))
    return f"{summary['pipeline']} {summary['run_id']}: {told}"


def _nodes(folder: RunFolder, run_id: str) -> dict[str, Execution]:
    metadata = folder.root.metadata
    if not metadata.is_file():
        return {}
    from pipeline.records.executions import Executions

    return Executions.in_file(metadata).of_run(run_id)
