"""Watches the newest version of a root, rolls it back if it breaks a bound, and records and announces that."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import absl.logging
import tensorflow as tf

from components.pusher.destination import open_versions
from components.request_logs import log_files, model_of, read_records
from errors import ConfigError, KindredError, RollbackError
from pipeline.commands.monitor.traffic import SIDES, Traffic
from pipeline.commands.rollback import roll_back
from pipeline.commands.watch.server import Server
from pipeline.commands.watch.watching import Watched, watch
from pipeline.config.sections.notify import Notify
from pipeline.config.sections.publish import Publish
from pipeline.config.sections.watch import WatchSettings
from pipeline.records.history import destination_of, section_of, storage_of, versions_by_run
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.running.announcing import deliver
from pipeline.running.notices import Notice
from pipeline.running.stopping import stoppable


def settings_of(root: Root) -> WatchSettings:
    """Returns section `publish.watch` of the newest run of a root.

    Raises:
      ConfigError: the section is absent.
    """
    settings = section_of(root, "publish", Publish).watch
    if settings is None:
        raise ConfigError(
            f"--root {root}: the newest run has no section publish.watch. Add it to the pipeline file and run again"
        )
    return settings


def watch_newest(
    root: Root,
    settings: WatchSettings,
    write_report: Callable[[RunFolder], object],
    warn: Callable[[str], None],
) -> Watched:
    """Watches the newest version of a root. A signal ends the watch and keeps the version.

    Args:
      root: the root that published it.
      settings: times and bounds.
      write_report: writes the report of the run that published it again.
      warn: prints a warning.

    Raises:
      RollbackError: the root has no published version.
    """
    directory = destination_of(root)
    versions = open_versions(directory, storage=storage_of(root))
    published = versions.published()
    if not published:
        raise RollbackError(f"{directory} has no published version to watch")
    version = published[-1]
    makers = {number: run_id for run_id, number in versions_by_run(root, directory).items()}
    run = RunFolder(root.runs / makers[version]) if version in makers else None
    pipeline = str(run.read_summary()["pipeline"]) if run else root.name
    name = settings.model or pipeline
    server = Server(settings.endpoint, settings.metrics, name)
    began = datetime.now(timezone.utc).timestamp()
    with stoppable() as stop:
        try:
            watched = watch(
                server,
                version,
                settings,
                lambda: _unknown_ids(settings.log or "", name, version, root, began),
                lambda: max(versions.published(), default=0),
            )
        except KeyboardInterrupt:
            if stop.reason() is None:
                raise
            watched = Watched(version, "stopped", stopped_by=stop.exit_code)
    if watched.state == "rolled_back":
        watched = _roll_back(root, directory, watched, write_report)
        if watched.state == "rolled_back":
            notice = Notice.of_rollback(pipeline, run.path.name if run else "unknown", version, watched.reason)
            deliver(section_of(root, "notify", Notify), notice, warn)
    if run:
        _record(root, run, watched, warn)
    return watched


def _roll_back(root: Root, directory: str, watched: Watched, write_report: Callable[[RunFolder], object]) -> Watched:
    absl.logging.set_verbosity(absl.logging.WARNING)  # ML Metadata reports each connection
    try:
        roll_back(root, directory, False, f"watch: {watched.reason}", None, write_report, newest=watched.version)
    except KindredError as error:
        return dataclasses.replace(watched, state="not_rolled_back", reason=f"{watched.reason}. {error}")
    return watched


def _record(root: Root, run: RunFolder, watched: Watched, warn: Callable[[str], None]) -> None:
    """Adds the result to the record of the run that published the version."""
    try:
        with root.locked():
            content = {**run.read_summary(), "watch": watched.to_json()}
            staged = run.summary.with_suffix(f".{uuid.uuid4().hex}.staged")
            staged.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            os.replace(staged, run.summary)
    except (OSError, ValueError, KindredError) as error:
        warn(f"the result of the watch is not in {run.summary}: {error}")


def _unknown_ids(log: str, model: str, version: int, root: Root, since: float) -> tuple[int, int]:
    """Returns how many ids a log has of requests to a version, and how many of them the version does not know."""
    traffic = Traffic(model, version)
    with log_files(log, storage_of(root)) as files:
        for file in files:
            if file.stat().st_mtime >= since:
                _add(file, traffic)
    return sum(traffic.ids[side].total() for side in SIDES), sum(traffic.unknown.values())


def _add(file: Path, traffic: Traffic) -> None:
    with contextlib.suppress(tf.errors.OpError):  # a server is writing the file
        for log in read_records(file):
            if log is not None and log.HasField("predict_log") and model_of(log) == (traffic.model, traffic.version):
                traffic.add(log)
