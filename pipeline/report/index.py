"""Writes ROOT/index.html: the runs and the versions of a root, and the trends of their metrics."""

from __future__ import annotations

import os
import urllib.parse
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.records.history import Run, destination_of, metrics_of, runs_of, versions_of
from pipeline.records.root import Root
from pipeline.report import charts, words
from pipeline.report.charts import Axis, Series
from pipeline.report.page import environment

_TEMPLATE = "index.html"
_SHOWN = 200
"""How many of the newest runs are shown."""
_TRENDS = 4
"""How many metrics have a chart: those of blessing rules first."""


def write_index(root: Root) -> Path:
    """Writes the page. The file appears only when complete.

    Returns:
      The path of the page.

    Raises:
      OSError: the root is not writable.
    """
    runs = runs_of(root, _SHOWN)
    directory = destination_of(root)
    text = environment().get_template(_TEMPLATE).render(
        name=root.name,
        runs=[_row(run) for run in reversed(runs)],
        versions=list(reversed(versions_of(root, directory, check_files=False))),
        directory=directory,
        trends=_trends(runs),
        newest=runs[-1].state if runs else "no run",
    )  # fmt: skip
    path = root.index
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    staged.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(staged, path)
    return path


def _row(run: Run) -> dict[str, Any]:
    summary = run.summary or {}
    has_report = run.folder.report.is_file() or run.folder.report in run.folder.root.stored_files()
    return {
        "id": run.folder.path.name,
        "link": urllib.parse.quote(f"runs/{run.folder.path.name}/report.html") if has_report else None,
        "state": run.state,
        "is_good": run.state in ("published", "tuned"),
        "started": str(summary.get("started", ""))[:16].replace("T", " "),
        "rows": summary.get("data", {}).get("rows"),
        "metrics": metrics_of(summary),
        "published": summary.get("published"),
        "seconds": summary.get("seconds"),
    }


def _trends(runs: Sequence[Run]) -> list[tuple[str, Markup]]:
    """Returns a title and a chart for each metric that at least two runs have, and for the number of rows."""
    summaries = [run.summary or {} for run in runs]
    found = [metrics_of(summary) for summary in summaries]
    names = list(dict.fromkeys(name for metrics in reversed(found) for name in metrics))[:_TRENDS]
    values = {name: [metrics.get(name) for metrics in found] for name in names}
    values["rows"] = [summary.get("data", {}).get("rows") for summary in summaries]
    return [
        (name, _trend(name, [(float(n), float(v)) for n, v in enumerate(row, start=1) if v is not None]))
        for name, row in values.items()
        if sum(value is not None for value in row) > 1
    ]


def _trend(name: str, points: list[tuple[float, float]]) -> Markup:
    (_, first), (last_run, last) = points[0], points[-1]
    about = f"From {words.short(first)} to {words.short(last)} in {len(points)} runs."
    mark = Series(words.short(last), [(last_run, last)], "candidate")
    return charts.lines(
        f"{name} by run", about, [Series(name, points, "train")], Axis("run", whole=True), Axis(name), [mark]
    )
