"""Finds a run by its folder, its id, or `latest`."""

from __future__ import annotations

import os
from pathlib import Path

from errors import ReportError
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder

LATEST = "latest"


def find_run(run: str, root: Path | str | None) -> RunFolder:
    """Returns the folder of a run.

    Args:
      run: path of the run folder, a run id, or `latest`.
      root: root to search, a path or a URL. The default is all roots in `build`.

    Raises:
      ReportError: there is no such run, there are several, or `latest` could mean several roots.
      RootError, StoreError, StoreUnavailable: a root in an object store cannot be read.
    """
    if (named := RunFolder(Path(run))).is_recorded():
        return named
    if run == LATEST:
        # Ids sort by time.
        return max(_recorded(find_root(root)), key=lambda folder: folder.path.name)
    roots, where = _roots(root)
    matches = [folder for place in roots if (folder := RunFolder(place.runs / run)).is_recorded()]
    if len(matches) != 1:
        problem = "several runs have this id" if matches else "no run has this id"
        raise ReportError(f"{run}: {problem} in {where}. Use the path of the run folder, ROOT/runs/RUN")
    return matches[0]


def find_root(root: Path | str | None) -> Root:
    """Returns the root with recorded runs: the given one, or the only one in `build`.

    Raises:
      ReportError: it has no run, or `build` has several roots with runs.
    """
    roots, where = _roots(root)
    used = [place for place in roots if _recorded(place)]
    if not used:
        raise ReportError(f"no run is recorded below {where}. Set --root to another root")
    if len(used) > 1:
        names = ", ".join(os.path.relpath(place.path) for place in used)
        raise ReportError(f"several roots in build have runs: {names}. Choose one with --root")
    return used[0]


def _roots(root: Path | str | None) -> tuple[list[Root], str]:
    """Returns the roots to search, and how messages name them."""
    if root is not None:
        place = Root.at(root, "").fetch() if "://" in str(root) else Root(Path(root))
        return [place], str(root)
    return [Root(path) for path in sorted(Path("build").glob("*"))], "build/*"


def _recorded(root: Root) -> list[RunFolder]:
    folders = map(RunFolder, root.runs.glob("*"))
    return [folder for folder in folders if folder.is_recorded()]
