"""The commands that describe and check a root: `runs`, `compare`, `versions`, `verify`, `approve` and `prune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.terminal import say
from pipeline.kubeflow.options import RemoteAccess, expand_options
from pipeline.options import JsonOption, UsedRootOption, say_json

if TYPE_CHECKING:
    from pipeline.records.root import Root
    from pipeline.records.run_folder import RunFolder


@expand_options
def runs(access: RemoteAccess, root: UsedRootOption = None, json_: JsonOption = False) -> None:
    """List the runs of a root, oldest first. With --host, those on a server of Kubeflow Pipelines."""
    from pipeline.commands import remote
    from pipeline.commands.history import describe_runs

    is_remote = remote.check(root, access)
    text = remote.describe_runs(access, json_) if is_remote else describe_runs(_used(root), json_)
    say(text, fit=not json_)


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its folder ROOT/runs/RUN.")],
    second: Annotated[str, typer.Argument(metavar="RUN")],
    root: UsedRootOption = None,
    json_: JsonOption = False,
) -> None:
    """Compare two runs: what differs in configuration and data, and their metrics side by side."""
    from pipeline.commands.compare import compare as described
    from pipeline.records.find_run import find_run

    say(described(find_run(first, root), find_run(second, root), json_), fit=not json_)


def versions(
    root: UsedRootOption = None,
    to: Annotated[
        str | None, typer.Option(help="The directory of versions, relative to the root. Default: of the newest run.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """List the versions of a root: which one is served, which are damaged or withdrawn, and which run made each."""
    from pipeline.commands.history import describe_versions

    say(describe_versions(_used(root), to, json_), fit=not json_)


def verify(
    root: UsedRootOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired.")] = False,
    json_: JsonOption = False,
) -> None:
    """Check the database, artifacts, versions and records of a root. Exit code 1 if something is damaged."""
    from pipeline.commands.verify import verify as check

    verdict = check(_used(root), repair, write_report)
    say(verdict.to_text(json_), fit=not json_)
    raise typer.Exit(0 if verdict.is_whole else 1)


def approve(
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version that awaits approval.")],
    root: UsedRootOption = None,
    reason: Annotated[str, typer.Option(help="The reason, which is recorded.")] = "",
    json_: JsonOption = False,
) -> None:
    """Publish a version that awaits approval (publish.approve). Servers then load it."""
    place = _used(root)
    from pipeline.commands.approve import approve as publish  # imports PyArrow, after Root.at (storage/trust.py)

    path = publish(place, version, reason, write_report)
    if json_:
        say_json({"version": version, "path": path, "reason": reason})
    else:
        say(f"version {version} is published to {path}")


def prune(
    root: UsedRootOption = None,
    keep: Annotated[int | None, typer.Option(min=1, metavar="N", help="Keep the N newest runs.")] = None,
    older_than: Annotated[
        int | None, typer.Option(min=1, metavar="DAYS", help="Keep runs that are at most DAYS old.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing. Print what would be removed.")] = False,
    json_: JsonOption = False,
) -> None:
    """Remove artifacts, reports and logs of old runs. What versions, the cache or the next run need stays."""
    from errors import ConfigError
    from pipeline.running.pruning import Kept
    from pipeline.running.pruning import prune as remove

    if keep is None and older_than is None:
        raise ConfigError("give --keep N, --older-than DAYS, or both")
    place = _used(root)
    with place.locked():
        removed = remove(place, Kept(keep, older_than), dry_run)
    if json_:
        say_json({"root": str(place), "dry_run": dry_run, "removed": removed.counts, "bytes": removed.size})
        return
    say(f"{place}: {'would remove' if dry_run else 'removed'} {removed}")


def write_report(folder: RunFolder) -> None:
    """Writes the report of a run and the page of its root. Imports its libraries here: a run needs them at its end."""
    from pipeline.report.index import write_index
    from pipeline.report.write import write_report

    write_report(folder)
    write_index(folder.root)


def report_here(run: str, root: str | None, why: bool, as_json: bool) -> Path | None:
    """Returns the path of the report of a run in a root. With `why`, prints that, and returns None."""
    from pipeline.records.find_run import find_run
    from pipeline.records.progress import headline, may_have_changed

    folder = find_run(run, root)
    folder.fetch()
    if why and as_json:
        from pipeline.commands.why import facts

        say_json(facts(folder))
        return None
    if why:
        from pipeline.commands.why import explain

        for line in explain(folder):
            say(line)
        return None
    path = folder.report
    unfinished = may_have_changed(folder)
    if unfinished:
        say(headline(folder), err=True)
    if unfinished or not path.is_file():
        from pipeline.running.console import redirect_output

        with redirect_output(folder.log):
            from pipeline.report.write import write_report as write_page

            write_page(folder)
    return path


def _used(root: str | None) -> Root:
    """Returns the given root, in its newest state, or the only one in `build`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before an import of TensorFlow, for URLs
    from pipeline.records.find_run import find_root
    from pipeline.records.root import Root

    return Root.at(root, "").fetch() if root is not None else Root(find_root(None).path.absolute())
