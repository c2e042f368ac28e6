"""Finding a run that a person names."""

from __future__ import annotations

from pathlib import Path

from errors import ReportError
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

LATEST = "latest"


def find_run(run: str, root: Path | None) -> RunFolder:
    """The folder of a run: a path to it, its id, or `latest`, below `root`, or below any root in `build`.

    Raises:
      ReportError: there is none, or several.
    """
    if (named := RunFolder(Path(run))).is_recorded():
        return named
    roots = [Root(path) for path in ([root] if root else sorted(Path("build").glob("*")))]
    where = str(root) if root else "build/*"
    if run == LATEST:
        # Ids sort by time.
        runs = sorted((folder for place in roots for folder in _recorded(place)), key=lambda folder: folder.path.name)
        if not runs:
            raise ReportError(f"no run is recorded below {where}; name a root with --root")
        return runs[-1]
    found = [folder for place in roots if (folder := RunFolder(place.runs / run)).is_recorded()]
    if len(found) != 1:
        what = "several runs are" if found else "no run is"
        raise ReportError(f"{run}: {what} called so below {where}; give the run's folder, ROOT/runs/RUN")
    return found[0]


def _recorded(root: Root) -> list[RunFolder]:
    folders = map(RunFolder, root.runs.glob("*"))
    return [folder for folder in folders if folder.is_recorded()]
