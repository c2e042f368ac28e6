"""Work on several threads within a Beam worker.

NumPy and Arrow release Python's global lock, so that threads share the cores of a process, without the cost of more
processes. Beam still distributes elements over workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

# The options of a runner that has one worker, in this process.
_IN_PROCESS = {"--runner": "FnApiRunner", "--direct_running_mode": "in_memory"}


def in_process(beam_pipeline_args: list[str] | None) -> bool:
    """Returns whether these options run Beam in this process. Of equal options, the last counts."""
    given = dict(argument.split("=", 1) for argument in beam_pipeline_args or [] if "=" in argument)
    return _IN_PROCESS.items() <= given.items()


def threads_of(beam_pipeline_args: list[str] | None) -> int:
    """Returns the number of threads of a worker: all cores in this process, and one where there are more workers."""
    return (os.cpu_count() or 1) if in_process(beam_pipeline_args) else 1


class Threaded(beam.DoFn):
    """Applies a function to the elements of a bundle, on several threads.

    Args:
      work: gets an element, and returns the outputs. It must be safe to run on several threads at once.
      threads: number of threads.
    """

    def __init__(self, work: Callable[[Any], Iterable[Any]], threads: int) -> None:
        self._work = work
        self._threads = threads

    def start_bundle(self) -> None:
        """Starts the threads."""
        self._pool = ThreadPoolExecutor(self._threads)
        self._results: list[Future[list[Any]]] = []

    def process(self, element: Any, after: Any = None) -> None:
        """Hands an element to a thread. `after` is a side input that must be complete first, and is ignored."""
        self._results.append(self._pool.submit(lambda: list(self._work(element))))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields the outputs of all elements, in their order.

        Raises:
          Exception: what the work on an element raised. Work that has not begun is given up.
        """
        try:
            for result in self._results:
                for output in result.result():
                    yield WindowedValue(output, GlobalWindow().max_timestamp(), [GlobalWindow()])
        finally:
            self._pool.shutdown(cancel_futures=True)
