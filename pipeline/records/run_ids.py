"""Ids of runs. They sort by time."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

_FORMAT = "%Y%m%d-%H%M%S-%f"
# No id can follow later ones. They come from a clock or a hand that was wrong.
_LAST = datetime.datetime(9999, 1, 1)


def make_run_folder(runs: Path) -> str:
    """Creates the folder of a new run, and returns its id. If the clock went back, the id follows the newest one.

    Args:
      runs: the folder of all runs.

    Raises:
      OSError: the folder is not writable.
    """
    started = max(datetime.datetime.now(), _newest(runs) + datetime.timedelta(milliseconds=1))
    while True:
        run_id = started.strftime(_FORMAT)[:-3]
        try:
            (runs / run_id).mkdir(parents=True)
        except FileExistsError:
            started += datetime.timedelta(milliseconds=1)
        else:
            return run_id


def _newest(runs: Path) -> datetime.datetime:
    """Returns the time in the newest run id, or the earliest time without a run."""
    newest = datetime.datetime.min
    for path in runs.glob("*"):
        with contextlib.suppress(ValueError):
            found = datetime.datetime.strptime(path.name, _FORMAT)
            newest = max(newest, found) if found < _LAST else newest
    return newest
