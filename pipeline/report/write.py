"""Writes report.html next to summary.json."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from pipeline.records.executions import Executions
from pipeline.records.progress import is_alive
from pipeline.records.run_folder import RunFolder
from pipeline.report.page import render
from pipeline.report.sources import Run


def write_report(folder: RunFolder, executions: Executions | None = None) -> Path:
    """Writes report.html of a run. The file appears only when complete.

    Args:
      folder: the folder of the run. It contains summary.json.
      executions: the executions in ML Metadata. None: read the root's metadata.sqlite, if it exists.

    Returns:
      The path of the report.

    Raises:
      OSError: the folder is not readable or writable.
    """
    metadata = folder.root.metadata
    if executions is None and metadata.is_file():
        executions = Executions.in_file(metadata)
    run = Run.of(folder, executions)
    path = _write(run)
    if run.progress and run.progress.alive and not is_alive(folder):
        # The run has just ended, and may have replaced its record after this report read it.
        return _write(Run.of(folder, executions))
    return path


def _write(run: Run) -> Path:
    path = run.folder.report
    staged = path.with_suffix(f".{uuid.uuid4().hex}.staged")
    # Ids are already valid Unicode, but a file system path can contain a lone surrogate.
    staged.write_text(render(run), encoding="utf-8", errors="backslashreplace")
    os.replace(staged, path)
    return path
