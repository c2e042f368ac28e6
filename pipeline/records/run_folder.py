"""The folder of a run, and its file names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pipeline.records.root import Root


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of a run, ROOT/runs/RUN.

    Attributes:
      path: path of the folder.

    Example:
      status = RunFolder(Path("build/films/runs/20261125-220701-000")).read_summary()["status"]
    """

    path: Path

    @property
    def root(self) -> Root:
        """The root of the run."""
        return Root(self.path.absolute().parents[1])

    @property
    def summary(self) -> Path:
        """The machine-readable record of the run."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The HTML report of the run."""
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        """The output of all libraries."""
        return self.path / "run.log"

    @property
    def running_mark(self) -> Path:
        """A file that a local run keeps locked while its process is alive."""
        return self.path / ".running"

    @property
    def reserve(self) -> Path:
        """Space on the disk for the record of an unfinished run."""
        return self.path / ".reserve"

    @property
    def kills(self) -> Path:
        """How many processes the kernel had killed for lack of memory when an unfinished run started, and where."""
        return self.path / ".kills"

    @property
    def lock(self) -> Path:
        """A lock for cluster tasks, which take turns writing the summary."""
        return self.path / ".lock"

    @property
    def tasks(self) -> Path:
        """Directory of the records of cluster tasks, one per node."""
        return self.path / "tasks"

    def fetch(self) -> None:
        """Fetches the report and the log, if only the object store of the root has them.

        Raises:
          StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
        """
        if session := self.root.session:
            session.fetch_files(self.path.absolute())

    def is_recorded(self) -> bool:
        """Returns whether the run has a record."""
        return self.summary.is_file()

    def read_summary(self) -> dict[str, Any]:
        """Returns the content of summary.json."""
        summary: dict[str, Any] = json.loads(self.summary.read_text(encoding="utf-8"))
        return summary
