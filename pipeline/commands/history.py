"""`kindred runs` and `kindred versions`: what a root contains, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from errors import ReportError
from pipeline.commands.table import lay_out
from pipeline.records.history import Run, destination_of, metrics_of, runs_of, versions_of
from pipeline.records.root import Root

_SHOWN_METRICS = 2


def describe_runs(root: Root, as_json: bool, width: int | None = None) -> str:
    """Returns the runs of a root, oldest first.

    Args:
      root: the root.
      as_json: whether to return JSON.
      width: the columns of the terminal. None: those of this one.

    Raises:
      ReportError: the root has no run.
    """
    runs = runs_of(root)
    if not runs:
        raise ReportError(f"no run is recorded below {root}. Set --root to another root")
    if as_json:
        return json.dumps([run.to_json() for run in runs], indent=2, ensure_ascii=False)
    head = ("run", "state", "rows", "metrics", "version", "seconds")
    return "\n".join(lay_out(head, [_row(run) for run in runs], width))


def describe_versions(root: Root, to: str | None, as_json: bool, width: int | None = None) -> str:
    """Returns the versions of a root, oldest first, with the run that published each, and why one is not served.

    Args:
      root: the root.
      to: the directory of versions, relative to the root. None: that of the newest run.
      as_json: whether to return JSON.
      width: the columns of the terminal. None: those of this one.

    Raises:
      ReportError: there is no version.
    """
    directory = destination_of(root) if to is None else root.place_of(to)
    versions = versions_of(root, directory)
    if not versions:
        raise ReportError(f"{directory} has no version. Set --root to another root, or --to to its versions")
    if as_json:
        found = [dataclasses.asdict(version) for version in versions]
        return json.dumps({"directory": directory, "versions": found}, indent=2, ensure_ascii=False)
    rows = [(str(v.number), v.state, v.run_id or "unknown", v.note) for v in versions]
    return "\n".join([directory, *lay_out(("version", "state", "run", "note"), rows, width)])


def _row(run: Run) -> tuple[str, ...]:
    summary: dict[str, Any] = run.summary or {}
    metrics = list(metrics_of(summary).items())[:_SHOWN_METRICS]
    rows = summary.get("data", {}).get("rows")
    return (
        run.folder.path.name,
        run.state,
        "" if rows is None else f"{rows:,}",
        ", ".join(f"{name} {value:.4f}" for name, value in metrics),
        str(summary.get("published") or ""),
        f"{summary['seconds']:.1f}" if "seconds" in summary else "",
    )
