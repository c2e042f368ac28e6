"""What a finished run reports to others: runs/metrics.prom and notices. A failure does not change the result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from pipeline.config.sections.notify import Notify
from pipeline.records.root import Root
from pipeline.records.run_metrics import FILE as METRICS_FILE
from pipeline.records.run_metrics import write_metrics
from pipeline.records.run_record import RunRecord
from pipeline.running.notices import TIME_LIMIT, Notice, send


def announce(
    notify: Notify,
    root: Root,
    record: RunRecord,
    exit_code: int,
    warn: Callable[[str], None],
    limit: float = TIME_LIMIT,
) -> None:
    """Writes metrics.prom and sends notices.

    Args:
      notify: who learns how the run ended.
      root: the root of the run.
      record: the record of the run, which has ended.
      exit_code: the exit code of the run, or what it would be on a command line.
      warn: prints a warning.
      limit: seconds to wait for all targets together.
    """
    try:
        write_metrics(root, record, exit_code)
    except Exception as error:
        warn(f"{root.runs / METRICS_FILE} could not be written: {error}")
    deadline = time.monotonic() + limit
    for notice in filter(None, (Notice.of(record, exit_code), Notice.of_drift(record, exit_code))):
        deliver(notify, notice, warn, deadline - time.monotonic())


def deliver(notify: Notify, notice: Notice, warn: Callable[[str], None], limit: float = TIME_LIMIT) -> None:
    """Sends a notice to all targets. Prints a warning for each that was not reached."""
    for fault in send(notify, notice, os.environ, limit):
        warn(f"a notice was not delivered: {fault}")
