"""The folder of a run, and the names of everything in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pipeline.records.root import Root


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """ROOT/runs/RUN.

    Attributes:
      path: the folder.
    """

    path: Path

    @property
    def root(self) -> Root:
        """The root that the run belongs to."""
        return Root(self.path.absolute().parents[1])

    @property
    def summary(self) -> Path:
        """The record of the run for machines."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """Everything that the libraries printed."""
        return self.path / "run.log"

    @property
    def running_mark(self) -> Path:
        """A file that a local run holds locked for as long as its process lives."""
        return self.path / ".running"

    @property
    def lock(self) -> Path:
        """A lock for the tasks of a run on a cluster, which write the summary in turns."""
        return self.path / ".lock"

    @property
    def tasks(self) -> Path:
        """What each node recorded, where nodes run as tasks of a cluster."""
        return self.path / "tasks"

    def is_recorded(self) -> bool:
        """Whether there is a record of the run."""
        return self.summary.is_file()

    def read_summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        summary: dict[str, Any] = json.loads(self.summary.read_text(encoding="utf-8"))
        return summary
