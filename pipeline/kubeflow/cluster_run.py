"""One run on a cluster: its folder on the shared volume or in the store, the records of its nodes, and summary.json."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import filelock

from pipeline.kubeflow.node_records import NodeRecord, NodeRecords, merge
from pipeline.kubeflow.stored_root import StoredRoot
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord

_LOCK_SECONDS = 120


class ClusterRun:
    """The record of one run. Several tasks write it.

    Args:
      root: the root of the pipeline.
      empty: the record of the run before any node has run.
      node_ids: all nodes of the graph, in its order.
    """

    def __init__(self, root: Root, empty: RunRecord, node_ids: Sequence[str]) -> None:
        self.root, self.node_ids = root, tuple(node_ids)
        self.folder = RunFolder(root.runs / empty.run_id)
        self._empty = empty
        self._records = NodeRecords(self.folder)
        self._stored = StoredRoot.of(root)

    @property
    def nodes(self) -> dict[str, NodeRecord]:
        """The records of the nodes so far, by node id."""
        if self._stored:
            self._stored.fetch(self.folder.tasks)
        return self._records.read()

    @property
    def record(self) -> RunRecord:
        """The record of the run so far, merged from the records of its nodes."""
        return merge(self._empty, self.nodes, self.node_ids)

    def note(self, node: NodeRecord) -> None:
        """Writes the record of a node and updates summary.json."""
        self.store(self._records.write(node))
        # Tasks that end at the same time take turns, so that the last writer has read all other records.
        with filelock.FileLock(self.folder.lock, timeout=_LOCK_SECONDS):
            merged = None
            # A store has no such lock. There, the last writer is the one that finds no new record afterwards.
            while (nodes := self.nodes) != merged:
                self._update(nodes)
                merged = nodes

    def _update(self, nodes: dict[str, NodeRecord]) -> None:
        record = merge(self._empty, nodes, self.node_ids)
        if record.status == "failed" and not any(other.is_final for other in nodes.values()):
            # Kubeflow may retry the failed task. Only the exit task marks the run as failed.
            record.status, record.error = "running", None
        self._write(record)

    def close(self) -> RunRecord:
        """Ends the record of the run. A node that is still marked as running counts as failed."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder.lock, timeout=_LOCK_SECONDS):
            nodes = self.nodes
            record = merge(self._empty, nodes, self.node_ids)
            lost = [node for node in nodes.values() if node.state == "running"]
            for node in lost:
                record.components.append({"id": node.id, "state": "failed", "seconds": 0.0})
            if record.status == "failed" and record.error is None:
                record.error = _lost(lost, self.node_ids, nodes)
            self._write(record)
        return record

    def _write(self, record: RunRecord) -> None:
        seconds = time.time() - datetime.fromisoformat(record.started).timestamp()
        record.write(self.folder.summary, time.monotonic() - max(seconds, 0.0))
        self.store(self.folder.summary)

    def store(self, *files: Path) -> None:
        """Uploads files of the root that this process has written. Does nothing on a volume.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        if self._stored:
            self._stored.send(*files)


def _lost(lost: Sequence[NodeRecord], node_ids: Sequence[str], nodes: dict[str, NodeRecord]) -> str:
    """Returns the reason of a failed run in which no node recorded one."""
    if lost:
        names = ", ".join(node.id for node in lost)
        return (
            f"{names} did not end: its pod was stopped from outside, for example at its memory limit "
            "(kubeflow.task.memory_limit), by an eviction, or because the run was terminated. "
            "The pod's events give the reason."
        )
    missing = next((node_id for node_id in node_ids if node_id not in nodes), None)
    if missing is None:
        return "no task recorded a reason; see the logs of the tasks"
    return (
        f"{missing} did not begin: its pod did not start, or could not reach the root. "
        "The pod's events and the log of its task give the reason."
    )
