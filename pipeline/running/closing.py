"""What follows the nodes of a run: its report, retention, metrics and notices. None of it changes the result."""

from __future__ import annotations

import contextlib
import tempfile
import traceback
from collections.abc import Callable

from pipeline.config import PipelineConfig
from pipeline.config.sections.keep import Keep
from pipeline.records.root import Root
from pipeline.records.run_folder import RunFolder
from pipeline.records.run_record import RunRecord
from pipeline.running.announcing import announce
from pipeline.running.console import RunConsole
from pipeline.running.notices import TIME_LIMIT
from storage.disk import full_disk

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
    limit = TIME_LIMIT if write_report else _STOPPED_TIME_LIMIT
    announce(config.notify, root, record, exit_code, lambda text: console.say(f"    warning: {text}", "yellow"), limit)


def _report(folder: RunFolder, console: RunConsole, write_report: Callable[[RunFolder], object]) -> None:
    try:
        write_report(folder)
    except Exception as error:
        _log(error)
        with contextlib.suppress(OSError):
            folder.report.unlink(missing_ok=True)  # it may be half written
        if full := full_disk(error, [folder.path, tempfile.gettempdir()]):
            console.say(f"The report could not be written: {full}. `kindred report` writes it.", "yellow")
        else:
            console.say(f"The report could not be written. See {folder.log}.", "yellow")


def _log(error: Exception) -> None:
    with contextlib.suppress(OSError):  # the disk of the log may be full
        traceback.print_exception(error)


def _prune(config: PipelineConfig, root: Root, console: RunConsole) -> None:
    if config.keep == Keep():
        return
    from pipeline.running.pruning import Kept, prune

    try:
        removed = prune(root, Kept(config.keep.runs, config.keep.days))
    except Exception as error:
        _log(error)
        console.say("Old artifacts could not be removed. `kindred prune` says why.", "yellow")
    else:
        if any(removed.counts.values()):
            console.say(f"Removed of older runs: {removed}")
