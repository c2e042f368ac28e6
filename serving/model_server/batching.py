"""Merges requests of several clients into one batch, like `--enable_batching` of TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from serving.model_server import text_protos
from serving.model_server.faults import Code, Fault, fault_of, invalid
from serving.model_server.metrics import ServerMetrics
from serving.model_server.tensors import Array

Run = Callable[[Mapping[str, Array], Sequence[str]], list[Array]]


@dataclasses.dataclass(frozen=True)
class BatchingSettings:
    """BatchingParameters, with TensorFlow Serving's defaults."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = True

    def __post_init__(self) -> None:
        if self.max_batch_size < 1 or self.num_batch_threads < 1 or self.max_enqueued_batches < 0:
            raise invalid(
                "max_batch_size and num_batch_threads must be positive, max_enqueued_batches must not be negative"
            )
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise invalid("allowed_batch_sizes must increase and end with max_batch_size")

    @property
    def room(self) -> int:
        """The maximum number of waiting rows."""
        return self.max_batch_size * max(self.max_enqueued_batches, 1)


def read_settings(path: Path) -> BatchingSettings:
    """Reads a BatchingParameters file in text format.

    Raises:
      Fault: the file is not a BatchingParameters message, or its values contradict each other.
    """
    message = text_protos.read(path, "BatchingParameters", "batching_parameters_file")
    given = {
        name: getattr(message, name).value
        for name in (
            "max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads",
            "enable_large_batch_splitting",
        )
        if message.HasField(name)
    }  # fmt: skip
    return BatchingSettings(
        **given,
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
    )


@dataclasses.dataclass
class _QueuedRequest:
    feeds: dict[str, Array]
    rows: int
    enqueued: float
    done: Future[list[Array]]


class Batcher:
    """Merges the rows of waiting requests for the same tensors of a servable."""

    def __init__(self, run: Run, settings: BatchingSettings, metrics: ServerMetrics) -> None:
        self._run, self._settings, self._metrics = run, settings, metrics
        self._queues: dict[tuple[tuple[str, ...], tuple[str, ...]], deque[_QueuedRequest]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True)
            for i in range(settings.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Runs like `Servable.run`, in one batch with concurrent requests for the same tensors.

        A request with a scalar input, such as the `k` of a ranking, cannot be merged. It runs alone.

        Raises:
          Fault: the request is larger than a batch, or the queue is full.
        """
        if not all(array.ndim for array in feeds.values()) or not feeds:
            return self._run(feeds, fetches)
        rows = {array.shape[0] for array in feeds.values()}
        if len(rows) > 1:
            raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
        (size,) = rows
        if size > self._settings.max_batch_size:
            if not self._settings.enable_large_batch_splitting:
                raise invalid(
                    f"Task size {size} is larger than maximum input batch size {self._settings.max_batch_size}"
                )
            return self._split(dict(feeds), fetches, size)
        return self._enqueue(dict(feeds), tuple(fetches), size).result()

    def _split(self, feeds: dict[str, Array], fetches: Sequence[str], size: int) -> list[Array]:
        step = self._settings.max_batch_size
        pieces = [
            self._run({name: array[at : at + step] for name, array in feeds.items()}, fetches)
            for at in range(0, size, step)
        ]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _enqueue(self, feeds: dict[str, Array], fetches: tuple[str, ...], size: int) -> Future[list[Array]]:
        task = _QueuedRequest(feeds, size, time.monotonic(), Future())
        with self._changed:
            queue = self._queues.setdefault((tuple(feeds), fetches), deque())
            if self._closed or sum(waiting.rows for waiting in queue) + size > self._settings.room:
                raise Fault(Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full")
            queue.append(task)
            self._changed.notify()
        return task.done

    def _work(self) -> None:
        while True:
            with self._changed:
                while (batch := self._next_batch()) is None:
                    if self._closed:
                        return
                    self._changed.wait(self._wait_seconds())
                key, tasks = batch
            self._process(tasks, key[1])

    def _next_batch(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], list[_QueuedRequest]] | None:
        """Removes the oldest batch that is full or has waited long enough from its queue."""
        now = time.monotonic()
        waiting = [(queue[0].enqueued, key) for key, queue in self._queues.items() if queue]
        for enqueued, key in sorted(waiting, key=lambda entry: entry[0]):
            queue = self._queues[key]
            full = sum(task.rows for task in queue) >= self._settings.max_batch_size
            if full or self._closed or now - enqueued >= self._settings.batch_timeout_micros / 1e6:
                return key, self._take(queue)
        return None

    def _take(self, queue: deque[_QueuedRequest]) -> list[_QueuedRequest]:
        """Removes the first tasks that fit into one batch and have mergeable shapes."""
        first = queue.popleft()
        tasks, rows = [first], first.rows
        while queue and rows + queue[0].rows <= self._settings.max_batch_size and self._mergeable(first, queue[0]):
            tasks.append(queue.popleft())
            rows += tasks[-1].rows
        return tasks

    def _mergeable(self, first: _QueuedRequest, other: _QueuedRequest) -> bool:
        for name, array in first.feeds.items():
            second = other.feeds[name]
            same_rank = array.ndim == second.ndim and array.dtype == second.dtype
            if not same_rank or (not self._settings.pad_variable_length_inputs and array.shape[1:] != second.shape[1:]):
                return False
        return True

    def _wait_seconds(self) -> float | None:
        """Returns the seconds until the oldest task has waited long enough, or None if no task waits."""
        oldest = min((queue[0].enqueued for queue in self._queues.values() if queue), default=None)
        if oldest is None:
            return None
        return max(oldest + self._settings.batch_timeout_micros / 1e6 - time.monotonic(), 0)

    def _process(self, tasks: list[_QueuedRequest], fetches: tuple[str, ...]) -> None:
        now, rows = time.monotonic(), sum(task.rows for task in tasks)
        padding = next((size for size in self._settings.allowed_batch_sizes if size >= rows), rows) - rows
        for task in tasks:
            self._metrics.queuing_latency.observe((now - task.enqueued) * 1e6)
        self._metrics.batch_size.observe(rows + padding)
        self._metrics.padding_size.observe(padding)
        try:
            outputs = self._run(self._merged(tasks, padding), fetches)
            if any(not output.ndim or output.shape[0] != rows + padding for output in outputs):
                raise Fault(Code.FAILED_PRECONDITION, "an output does not have the rows of the batch")
        except Exception as error:  # without a result, the clients of this batch would wait forever
            for task in tasks:
                task.done.set_exception(fault_of(error))
            return
        start = 0
        for task in tasks:
            task.done.set_result([output[start : start + task.rows] for output in outputs])
            start += task.rows

    def _merged(self, tasks: list[_QueuedRequest], padding: int) -> dict[str, Array]:
        """Concatenates the rows of `tasks` per input, and repeats the first row as padding."""
        merged = {}
        for name in tasks[0].feeds:
            arrays = _padded([task.feeds[name] for task in tasks])
            merged[name] = np.concatenate([*arrays, *([arrays[0][:1]] * padding)])
        return merged

    def close(self) -> None:
        """Runs the waiting tasks, then stops the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


def _padded(arrays: list[Array]) -> list[Array]:
    """Pads arrays to the same shape after the row dimension, each with its own first value."""
    shape = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    padded = []
    for array in arrays:
        if array.shape[1:] != shape:
            fill = array.reshape(-1)[0] if array.size else (b"" if array.dtype == object else 0)
            wide = np.full((array.shape[0], *shape), fill, dtype=array.dtype)
            wide[tuple(slice(size) for size in array.shape)] = array
            array = wide
        padded.append(array)
    return padded
