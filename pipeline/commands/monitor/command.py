"""Runs `kindred monitor` and prints its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from errors import ReportError
from pipeline.commands.monitor.compare import Compared, compare
from pipeline.commands.monitor.page import PAGE, write_page
from pipeline.commands.monitor.traffic import SIDES, Log, read_log
from pipeline.config.sections.notify import Notify
from pipeline.records.history import section_of
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.running.announcing import deliver
from pipeline.running.notices import Notice


def monitor(prefix: str, root: Root, as_json: bool, warn: Callable[[str], None]) -> tuple[str, list[str]]:
    """Compares a request log with the training data, and writes the page ROOT/monitor.html.

    Sends a notice for each version with a broken rule, as section `notify` of the newest run says.

    Args:
      prefix: the beginning of the paths of the log files, or of the URLs of objects.
      root: the root that published the model.
      as_json: whether to return JSON instead of text.
      warn: prints a warning about a notice that was not delivered.

    Returns:
      What to print, and a sentence for each broken rule.

    Raises:
      InputError: there is no log.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
      ReportError: the root did not publish any of the logged versions, or the data of their runs are gone.
    """
    log = read_log(prefix)
    versions = [compare(root, traffic) for traffic in log.traffic]
    write_page(root.path / PAGE, root.name, log, versions)
    if not any(version.checks for version in versions):
        reasons = " ".join(dict.fromkeys(version.absent or "No request has an id." for version in versions))
        raise ReportError(f"--root {root}: nothing to compare with. {reasons}")
    broken = [
        f"{version.traffic.model} version {version.traffic.version}: {check.words}"
        for version in versions
        for check in version.checks
        if not check.ok
    ]
    _announce(root, versions, warn)
    if as_json:
        return json.dumps(_record(log, versions, root), indent=2, ensure_ascii=False), broken
    return "\n".join([*_lines(log, versions), f"page: {root.path / PAGE}"]), broken


def _announce(root: Root, versions: Sequence[Compared], warn: Callable[[str], None]) -> None:
    notify = section_of(root, "notify", Notify)
    for version in versions:
        broken = [check.record() for check in version.checks if not check.ok]
        if broken and version.run:
            of = {"model": version.traffic.model, "version": version.traffic.version}
            pipeline = str(RunFolder(root.runs / version.run).read_summary()["pipeline"])
            deliver(notify, Notice.of_traffic(pipeline, version.run, [of | check for check in broken]), warn)


def _record(log: Log, versions: list[Compared], root: Root) -> dict[str, object]:
    return {
        "files": len(log.files),
        "records": log.records,
        "damaged": [str(file) for file in log.damaged],
        "ok": all(version.ok for version in versions),
        "versions": [version.record() for version in versions],
        "page": str(root.path / PAGE),
    }


def _lines(log: Log, versions: list[Compared]) -> Iterator[str]:
    for version in versions:
        traffic = version.traffic
        period = " to ".join(traffic.period) if traffic.period else "no times"
        yield f"{traffic.model} version {traffic.version}: {traffic.requests.total():,} requests, {period}"
        for side in SIDES:
            total = traffic.ids[side].total()
            if total:
                yield f"  {side} ids       {total:,}, of which {version.unknown_share(side):.1%} are unknown"
        if version.absent:
            yield f"  not compared   {version.absent}"
        for check in version.checks:
            state = "ok" if check.ok else "BROKEN"
            name = f"{check.rule}{f' {check.about}' if check.about else ''}"
            yield f"  {state:6}  {name}: {check.value:.3g}, at most {check.bound:.3g}"
    if log.damaged:
        yield f"{len(log.damaged)} files end in the middle of a record: a server is writing them, or was killed"
