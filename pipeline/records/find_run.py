"""Finds a run by its folder, its id, or `latest`."""

from __future__ import annotations

from pathlib import Path

from errors import ReportError
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

LATEST = "latest"


def find_run(run: str, root: Path | None) -> RunFolder:
    """Returns the folder of a run.

    Args:
      run: path of the run folder, a run id, or `latest`.
      root: root to search. The default is all roots in `build`.

    Raises:
      ReportError: there is no such run, or several.
    """
    if (named := RunFolder(Path(run))).is_recorded():
        return named
    roots = [Root(path) for path in ([root] if root else sorted(Path("build").glob("*")))]
    where = str(root) if root else "build/*"
    if run == LATEST:
        # Ids sort by time.
        runs = sorted((folder for place in roots for folder in _recorded(place)), key=lambda folder: folder.path.name)
        if not runs:
            raise ReportError(f"no run is recorded below {where}. Set --root to another root")
        return runs[-1]
    matches = [folder for place in roots if (folder := RunFolder(place.runs / run)).is_recorded()]
    if len(matches) != 1:
        problem = "several runs have this id" if matches else "no run has this id"
        raise ReportError(f"{run}: {problem} in {where}. Use the path of the run folder, ROOT/runs/RUN")
    return matches[0]


def _recorded(root: Root) -> list[RunFolder]:
    folders = map(RunFolder, root.runs.glob("*"))
    return [folder for folder in folders if folder.is_recorded()]
