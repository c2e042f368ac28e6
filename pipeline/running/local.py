"""Runs a graph on this machine and writes its record."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import traceback
from collections.abc import Callable

from components.pusher.destination import open_versions, refuse_foreign
from errors import DataRefused, KindredError, ModelRefused
from pipeline.config import PipelineConfig
from pipeline.config.sections.keep import Keep
from pipeline.records.metadata_backup import restore_if_damaged
from pipeline.records.progress import marked_alive
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_metrics import FILE as METRICS_FILE
from pipeline.records.run_metrics import write_metrics
from pipeline.records.run_record import EXIT_CODES, RunRecord
from pipeline.running.console import RunConsole, redirect_output
from pipeline.running.notices import Notice, send
from pipeline.running.options import RunOptions
from pipeline.running.stopping import Stop, stoppable


@dataclasses.dataclass(frozen=True)
class RunOutcome:
    """The result of a run, and the location of its record."""

    record: RunRecord
    exit_code: int
    folder: RunFolder


def run(
    config: PipelineConfig, root: Root, options: RunOptions, write_report: Callable[[RunFolder], object]
) -> RunOutcome:
    """Runs the graph of a pipeline file on this machine.

    A failure ends the run with an exit code and a reason in the record. It raises no exception. The record is always
    written.

    Args:
      config: the pipeline file.
      root: where the state of the run is stored.
      options: of this run.
      write_report: writes the report of the finished run.

    Raises:
      RootError: the root cannot be used.
    """
    since = time.monotonic()
    # Signals are handled before there is a run, so that each run that a signal ends has a record of that.
    with stoppable() as stop, root.locked():
        run_id = root.new_run()
        folder = RunFolder(root.runs / run_id)
        record = RunRecord.begin(config, run_id)
        save = functools.partial(record.write, folder.summary, since)
        with marked_alive(folder), redirect_output(folder.log) as terminal:
            save()
            console = RunConsole(terminal)
            try:
                exit_code = _execute(config, root, options, record, console, save, stop)
            finally:
                save()
            _report(folder, console, write_report)
            _prune(config, root, console)
            _announce(config, root, record, exit_code, console)
    return RunOutcome(record, exit_code, folder)


def _execute(
    config: PipelineConfig,
    root: Root,
    options: RunOptions,
    record: RunRecord,
    console: RunConsole,
    save: Callable[[], None],
    stop: Stop,
) -> int:
    """Runs every node and returns the exit code.

    Writes the reason of a failure to `record`, and its traceback to the log.
    """
    try:
        console.say(f"{config.name}: {config.data.path} -> {root.path}")
        check_destination(config, root)
        if restored := restore_if_damaged(root.metadata, root.artifacts):
            console.say(f"    warning: {restored}. Runs since then are not in it", "yellow")
        # Importing TFX takes seconds and prints a lot. The log is open and the terminal shows the reason by now.
        with console.component("starting TFX"):
            from pipeline.running import orchestrator
        orchestrator.run_nodes(config, root, options, record, console, save)
    except (Exception, KeyboardInterrupt) as error:
        # Some libraries raise another exception when they are interrupted.
        if reason := stop.reason():
            record.error = reason
            return stop.exit_code
        traceback.print_exc()
        return judge(error, record)
    return EXIT_CODES[record.status]


def check_destination(config: PipelineConfig, root: Root) -> None:
    """Refuses a destination that the Pusher would refuse, before the work. The Pusher checks again.

    Raises:
      ConfigError: publishing there would mix with, or remove, the work of others.
      StoreError, StoreUnavailable: a store refuses a request, cannot be reached, or fails.
    """
    refuse_foreign(open_versions(root.serving(config), config.name, config.storage), config.name)


def _report(folder: RunFolder, console: RunConsole, write_report: Callable[[RunFolder], object]) -> None:
    """Writes the report. A failure to write it does not change the result of the run."""
    try:
        write_report(folder)
    except Exception:
        traceback.print_exc()
        console.say(f"The report could not be written. See {folder.log}.", "yellow")


def _prune(config: PipelineConfig, root: Root, console: RunConsole) -> None:
    """Removes what section `keep` does not keep. A failure does not change the result of the run."""
    if config.keep == Keep():
        return
    from pipeline.running.pruning import Kept, prune

    try:
        removed = prune(root, Kept(config.keep.runs, config.keep.days))
    except Exception:
        traceback.print_exc()
        console.say("Old artifacts could not be removed. `kindred prune` says why.", "yellow")
    else:
        if any(removed.counts.values()):
            console.say(f"Removed of older runs: {removed}")


def _announce(config: PipelineConfig, root: Root, record: RunRecord, exit_code: int, console: RunConsole) -> None:
    """Writes metrics.prom and sends notices. A failure does not change the result of the run."""
    try:
        write_metrics(root, record, exit_code)
    except Exception as error:
        console.say(f"    warning: {root.runs / METRICS_FILE} could not be written: {error}", "yellow")
    if config.notify.targets and (notice := Notice.of(record, exit_code)):
        for fault in send(config.notify, notice, os.environ):
            console.say(f"    warning: a notice was not delivered: {fault}", "yellow")


def judge(error: BaseException, record: RunRecord) -> int:
    """Sets the status and the reason of a run that `error` ended, and returns its exit code."""
    if isinstance(error, DataRefused):
        record.status = "data_refused"
    elif isinstance(error, ModelRefused):
        record.status = "model_refused"
    if isinstance(error, KindredError):
        record.error = str(error)
        return error.exit_code
    record.error = (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}".rstrip()
    )
    return 1
