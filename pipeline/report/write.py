"""Writing report.html beside summary.json."""

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
    """Writes the report of the run whose record is in `folder`; it appears whole, or not at all.

    Without `executions`, those of the root's metadata.sqlite are read, if there are any.
    """
    metadata = folder.root.metadata
    if executions is None and metadata.is_file():
        executions = Executions.in_file(metadata)
    run = Run.of(folder, executions)
    path = _write(run)
    if run.progress and run.progress.alive and not is_alive(folder):
        # It has ended meanwhile, and what it says of itself may just have been replaced.
        return _write(Run.of(folder, executions))
    return path


def _write(run: Run) -> Path:
    path = run.folder.report
    staged = path.with_suffix(f".{uuid.uuid4().hex}.staged")
    # An id that is not valid Unicode was made readable; a path of the file system may still hold half a character.
    staged.write_text(render(run), encoding="utf-8", errors="backslashreplace")
    os.replace(staged, path)
    return path
