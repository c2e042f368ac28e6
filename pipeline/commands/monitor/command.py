"""Runs `kindred monitor` and prints its result."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from errors import InputError, ReportError
from pipeline.commands.monitor.compare import Compared, compare
from pipeline.commands.monitor.page import PAGE, write_page
from pipeline.commands.monitor.traffic import SIDES, Log, read_log
from pipeline.records.root import Root
from storage.store import Store, in_parallel
from storage.urls import is_object


def monitor(prefix: str, root: Root, as_json: bool) -> tuple[str, list[str]]:
    """Compares a request log with the training data, and writes the page ROOT/monitor.html.

    Args:
      prefix: the beginning of the paths of the log files, or of the URLs of objects.
      root: the root that published the model.
      as_json: whether to return JSON instead of text.

    Returns:
      What to print, and a sentence for each broken rule.

    Raises:
      InputError: there is no log.
      ReportError: the root did not publish any of the logged versions, or the data of their runs are gone.
    """
    log = _read(prefix)
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
    if as_json:
        return json.dumps(_record(log, versions, root), indent=2, ensure_ascii=False), broken
    return "\n".join([*_lines(log, versions), f"page: {root.path / PAGE}"]), broken


def _read(prefix: str) -> Log:
    """Reads a log. Downloads one in an object store first.

    Raises:
      InputError: there is no log.
      StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
    """
    if not is_object(prefix):
        return read_log(Path(prefix))
    url, _, name = prefix.rpartition("/")
    store = Store(url)
    entries = [entry for entry in store.objects() if entry.name.startswith(name) and "/" not in entry.name]
    if not entries:
        raise InputError(f"--log {prefix}: no object begins with this URL. Use the filename_prefix of the model config")
    with tempfile.TemporaryDirectory(prefix="kindred-logs-") as folder:
        in_parallel(lambda entry: store.download(entry, os.path.join(folder, entry.name)), entries)
        return read_log(Path(folder, name))


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
