"""What follows the nodes of a run: its report, retention, metrics and notices. None of it changes the result."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from pipeline.config import PipelineConfig
from pipeline.config.sections.keep import Keep
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_metrics import FILE as METRICS_FILE
from pipeline.records.run_metrics import write_metrics
from pipeline.records.run_record import RunRecord
from pipeline.running.console import RunConsole
from pipeline.running.notices import TIME_LIMIT, Notice, send

# A stopped process has little time left.
_STOPPED_TIME_LIMIT = 0.7


def close(
    config: PipelineConfig,
    root: Root,
    record: RunRecord,
    exit_code: int,
    console: RunConsole,
    write_report: Callable[[RunFolder], object] | None,
) -> None:
    """Writes the report, removes what is not kept, writes metrics and sends notices. Raises no exception.

    Args:
      config: the pipeline file.
      root: the root of the run.
      record: the record of the ended run.
      exit_code: of the run.
      console: shows what failed.
      write_report: writes the report, or None for a run that was stopped. `kindred report` then writes it.
    """
    if write_report:
        _report(RunFolder(root.runs / record.run_id), console, write_report)
        _prune(config, root, console)
    _announce(config, root, record, exit_code, console, TIME_LIMIT if write_report else _STOPPED_TIME_LIMIT)


def _report(folder: RunFolder, console: RunConsole, write_report: Callable[[RunFolder], object]) -> None:
    try:
        write_report(folder)
    except Exception:
        traceback.print_exc()
        console.say(f"The report could not be written. See {folder.log}.", "yellow")


def _prune(config: PipelineConfig, root: Root, console: RunConsole) -> None:
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


def _announce(
    config: PipelineConfig, root: Root, record: RunRecord, exit_code: int, console: RunConsole, limit: float
) -> None:
    try:
        write_metrics(root, record, exit_code)
    except Exception as error:
        console.say(f"    warning: {root.runs / METRICS_FILE} could not be written: {error}", "yellow")
    if config.notify.targets and (notice := Notice.of(record, exit_code)):
        for fault in send(config.notify, notice, os.environ, limit):
            console.say(f"    warning: a notice was not delivered: {fault}", "yellow")
