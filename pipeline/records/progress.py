"""The progress of an unfinished run: whether its process is alive, and its current component.

summary.json records only the end of a run. Until then its status is `failed`, which remains after a kill. A lock, held
while the process of the run is alive, distinguishes the two cases. ML Metadata has the current component.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from kindred import cgroup
from pipeline.records.run_folder import RunFolder

if TYPE_CHECKING:
    from pipeline.records.executions import Execution


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of an unfinished run.

    Attributes:
      alive: whether the process is alive. None if unknown, because a run of cluster tasks holds no lock.
      node: current or last component. None at the start or between two components.
      since: start time of the component, or of the run if `node` is None.
      out_of_memory: whether the kernel has killed a process of the run because memory ran out.
    """

    alive: bool | None
    node: str | None
    since: datetime
    out_of_memory: bool = False

    @property
    def place(self) -> str:
        """The current component and its start time."""
        if self.node is None:
            return f"started {moment(self.since)}, between components"
        return f"at {self.node} since {moment(self.since)}"

    def __str__(self) -> str:
        """Returns a short description without the name of the run."""
        if self.alive:
            return f"running, {self.place}"
        at = f" at {self.node}" if self.node else ""
        if self.alive is None:
            return f"unfinished according to its record{at and f', last{at}'}"
        return f"killed{at}{self.why_killed}"

    @property
    def why_killed(self) -> str:
        """The end of a sentence about a run whose process is gone."""
        if self.out_of_memory:
            return " by the kernel, because memory ran out"
        return ", or its machine stopped"


def moment(when: datetime) -> str:
    """Formats a time, as in `2026-11-25 22:07:01 UTC`."""
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


@contextlib.contextmanager
def marked_alive(folder: RunFolder) -> Iterator[None]:
    """Marks the run in `folder` as alive. The lock ends with the process."""
    with filelock.FileLock(folder.running_mark, timeout=0):
        with contextlib.suppress(OSError):
            _note_kills(folder)
        yield
        with contextlib.suppress(OSError):
            folder.kills.unlink(missing_ok=True)


def _note_kills(folder: RunFolder) -> None:
    file = cgroup.kills_file()
    if file is not None and (kills := cgroup.kills(file)) is not None:
        noted = {"file": str(file), "inode": file.stat().st_ino, "kills": kills}
        folder.kills.write_text(json.dumps(noted), encoding="utf-8")


def ran_out_of_memory(folder: RunFolder) -> bool:
    """Returns whether the kernel has killed a process in the cgroup of an unfinished run since its start.

    False if the cgroup is gone, as after a restart of the machine or of the container.
    """
    try:
        noted = json.loads(folder.kills.read_text(encoding="utf-8"))
        file = Path(noted["file"])
        if file.stat().st_ino != noted["inode"]:
            return False
        return (cgroup.kills(file) or 0) > noted["kills"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_alive(folder: RunFolder) -> bool | None:
    """Returns whether the process of the run in `folder` is alive, None if unknown.

    Call this before reading the record. Otherwise a run that ends in between looks like a killed one.
    """
    try:
        with open(folder.running_mark, "rb") as mark:
            # The lock is shared, so that two concurrent readers do not mistake each other for the run.
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def progress_of(
    summary: Mapping[str, Any], alive: bool | None, nodes: Mapping[str, Execution], out_of_memory: bool = False
) -> Progress | None:
    """Returns the progress of a run, or None if it has ended.

    Args:
      summary: its record.
      alive: whether its process is alive, or None if unknown.
      nodes: its executions in ML Metadata.
      out_of_memory: whether the kernel has killed a process of the run.
    """
    if has_ended(summary):
        return None
    at = max((node for node in nodes.values() if node.running), key=lambda node: node.began, default=None)
    if at is None:
        return Progress(alive, None, datetime.fromisoformat(summary["started"]), out_of_memory)
    return Progress(alive, at.node_id, datetime.fromtimestamp(at.began, timezone.utc), out_of_memory)


def has_ended(summary: Mapping[str, Any]) -> bool:
    """Returns whether a record states the end of its run. A failed run has an error and a failed component."""
    return summary["status"] != "failed" or "error" in summary or _failed(summary["components"])


def _failed(components: list[dict[str, Any]]) -> bool:
    return any(component["state"] == "failed" for component in components)


def may_have_changed(folder: RunFolder) -> bool:
    """Returns whether the run in `folder` may have continued, or been killed, since its report was written."""
    return is_alive(folder) is not None and not has_ended(folder.read_summary())


def headline(folder: RunFolder) -> str:
    """Returns a line about the run in `folder`: pipeline, id, and result or progress."""
    alive = is_alive(folder)
    summary = folder.read_summary()
    state = summary["status"].replace("_", " ")
    if summary.get("published"):
        state = f"{state} {_withdrawal(folder, summary['published'])}".rstrip()
    if not has_ended(summary):
        state = progress_of(summary, alive, _nodes(folder, summary["run_id"]), ran_out_of_memory(folder))
    return f"{summary['pipeline']} {summary['run_id']}: {state}"


def _withdrawal(folder: RunFolder, published: str) -> str:
    """Returns the end of a sentence about a version that was withdrawn, or an empty string."""
    metadata = folder.root.metadata
    if not metadata.is_file():
        return ""
    from pipeline.records.executions import Executions

    reason = Executions.in_file(metadata).withdrawals().get(folder.root.place_of(published))
    return "" if reason is None else f"as {published}, which is withdrawn since {reason}"


def _nodes(folder: RunFolder, run_id: str) -> dict[str, Execution]:
    metadata = folder.root.metadata
    if not metadata.is_file():
        return {}
    from pipeline.records.executions import Executions

    return Executions.in_file(metadata).of_run(run_id)
