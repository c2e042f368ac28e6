"""Finding a run that a person names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.errors import ReportError

LATEST = "latest"
_SUMMARY = "summary.json"


def find_run(run: str, root: Path | None) -> Path:
    """The folder of a run: a path to it, its id, or `latest`, below `root`, or below any root in `build`.

    Raises:
      ReportError: there is none, or several.
    """
    if Path(run, _SUMMARY).is_file():
        return Path(run)
    roots = [root] if root else sorted(Path("build").glob("*"))
    where = str(root) if root else "build/*"
    if run == LATEST:
        # Ids sort by time.
        runs = sorted((path.parent for place in roots for path in place.glob(f"runs/*/{_SUMMARY}")), key=_name)
        if not runs:
            raise ReportError(f"no run is recorded below {where}; name a root with --root")
        return runs[-1]
    found = [place / "runs" / run for place in roots if Path(place, "runs", run, _SUMMARY).is_file()]
    if len(found) != 1:
        what = "several runs are" if found else "no run is"
        raise ReportError(f"{run}: {what} called so below {where}; give the run's folder, ROOT/runs/RUN")
    return found[0]


def read_summary(folder: Path) -> dict[str, Any]:
    """What summary.json in `folder` says."""
    summary: dict[str, Any] = json.loads(Path(folder, _SUMMARY).read_text(encoding="utf-8"))
    return summary


def _name(folder: Path) -> str:
    return folder.name
