"""Request logs: PredictionLog records of a sample of requests, in TFRecord files, as TensorFlow Serving writes them.

A thread encodes and writes the records. A request only puts its arrays into a queue, and drops them if the queue is
full, so that a slow or full disk delays no answer. Logs in an object store are written here first (`log_objects`).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.model_server.log_objects import SECONDS, LogObjects
from serving.model_server.metrics import ServerMetrics
from serving.model_server.model_config import LoggingSettings, ServedModel
from serving.model_server.tensors import Array, to_proto
from storage.urls import is_object

log = logging.getLogger("kindred.model_server")
_FLUSH_SECONDS = 0.5
# What a string costs, and the objects of a request besides the content of its arrays.
_STRING_BYTES, _REQUEST_BYTES = 64, 2048


@dataclasses.dataclass(frozen=True)
class LogLimits:
    """The bounds of the logs of one prefix, in bytes.

    Attributes:
      max_file: a file that is larger is closed, and the next one begun.
      max_total: the oldest files are deleted, so that all together stay below.
      max_queue: requests are dropped while the ones that wait hold more memory.
    """

    max_file: int = 64 << 20
    max_total: int = 1 << 30
    max_queue: int = 32 << 20


@dataclasses.dataclass(frozen=True)
class Answered:
    """A request with its answer, as arrays by alias."""

    model: str
    version: int
    signature: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    seconds: float

    @property
    def nbytes(self) -> int:
        """The approximate memory that the arrays hold."""
        arrays = [*self.inputs.values(), *self.outputs.values()]
        return _REQUEST_BYTES + sum(
            array.size * _STRING_BYTES if array.dtype == object else array.nbytes for array in arrays
        )


class RequestLogs:
    """The logs of all models of a server."""

    def __init__(self, metrics: ServerMetrics, limits: LogLimits) -> None:
        self._metrics, self._limits = metrics, limits
        self._rates: dict[str, tuple[float, _Writer]] = {}
        self._writers: dict[str, _Writer] = {}

    def configure(self, models: Sequence[ServedModel]) -> None:
        """Logs the requests of these models as their configuration says, and of no others."""
        rates = {}
        for model in models:
            if model.logging is not None:
                rates[model.name] = (model.logging.rate, self._writer(model.logging))
        self._rates = rates

    def _writer(self, settings: LoggingSettings) -> _Writer:
        if settings.prefix not in self._writers:
            self._writers[settings.prefix] = _Writer(settings.prefix, self._metrics, self._limits)
        return self._writers[settings.prefix]

    def offer(
        self, model: str, version: int, signature: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> None:
        """Logs an answered request if the sample contains it. Never waits and never fails."""
        rate, writer = self._rates.get(model, (0.0, None))
        if writer is not None and random.random() < rate:
            writer.offer(Answered(model, version, signature, inputs, outputs, time.time()), rate)

    def close(self, seconds: float = 2.0) -> None:
        """Writes what waits, for at most `seconds`."""
        self._rates = {}
        for writer in self._writers.values():
            writer.close(seconds)


class _Writer:
    """Writes the records of one prefix."""

    def __init__(self, prefix: str, metrics: ServerMetrics, limits: LogLimits) -> None:
        self._objects = LogObjects(prefix) if is_object(prefix) else None
        self._prefix = self._objects.waiting if self._objects else Path(prefix)
        self._name, self._metrics, self._limits = prefix, metrics, limits
        self._waiting: deque[tuple[Answered, float, int]] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._closed = self._failing = False
        self._file: Any = None
        self._path, self._written, self._number, self._began = Path(), 0, 0, 0.0
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def offer(self, answered: Answered, rate: float) -> None:
        """Queues a request, or drops it if the queue is full."""
        size = answered.nbytes
        with self._changed:
            fits = not self._closed and self._held + size <= self._limits.max_queue
            if fits:
                self._waiting.append((answered, rate, size))
                self._held += size
                self._changed.notify()
        if not fits:
            self._metrics.logged.add(answered.model, "dropped")

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._closed:
                    self._changed.wait(_FLUSH_SECONDS)
                entry = self._waiting.popleft() if self._waiting else None
                if entry is None and self._closed:
                    break
            if entry is None:
                self._attempt(self._flush)
                continue
            answered, rate, size = entry
            written = self._attempt(functools.partial(self._write, answered, rate))
            self._metrics.logged.add(answered.model, "written" if written else "failed")
            with self._changed:
                self._held -= size
        self._attempt(self._end_file)

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Runs an action on files. A full or missing disk loses records, and the server goes on."""
        try:
            action()
        except Exception as error:  # whatever it is, the next request may be written
            if not self._failing:
                log.error("request log %s: cannot write: %s", self._name, (str(error) or repr(error)).splitlines()[0])
            self._failing, self._file = True, None
            return False
        self._failing = False
        return True

    def _write(self, answered: Answered, rate: float) -> None:
        record = _record(answered, rate)
        if self._file is None or self._written + len(record) > self._limits.max_file or self._is_old():
            self._end_file()
            self._begin_file()
        self._file.write(record)
        self._written += len(record) + 16  # the length and two checksums

    def _begin_file(self) -> None:
        self._prefix.parent.mkdir(parents=True, exist_ok=True)
        self._make_room()
        self._number += 1
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._path = Path(f"{self._prefix}.{moment}-{os.getpid()}-{self._number:06d}.tfrecord")
        self._file, self._written = tf.io.TFRecordWriter(str(self._open_path())), 0
        self._began = time.monotonic()

    def _open_path(self) -> Path:
        """Returns the path of the file while it is written. Others of the same prefix upload what has its own name."""
        return self._path.with_name(f"{self._path.name}.open") if self._objects else self._path

    def _is_old(self) -> bool:
        return self._objects is not None and time.monotonic() - self._began > SECONDS

    def _make_room(self) -> None:
        """Deletes the oldest files, so that another whole file fits."""
        files = log_files(self._prefix)
        sizes = {file: file.stat().st_size for file in files}
        for file in sorted(files, key=_age):
            if sum(sizes.values()) + self._limits.max_file <= self._limits.max_total:
                return
            file.unlink(missing_ok=True)
            del sizes[file]

    def _flush(self) -> None:
        if self._file is not None and self._is_old():
            self._end_file()
        elif self._file is not None:
            self._file.flush()

    def _end_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if file is not None and self._objects is not None:
            os.replace(self._open_path(), self._path)
            self._attempt(functools.partial(self._objects.upload, log_files(self._prefix)))

    def close(self, seconds: float) -> None:
        """Writes what waits, for at most `seconds`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)


_NAME = re.compile(r"\.\d{8}T\d{6}Z-\d+-\d{6}\.tfrecord")


def log_files(prefix: Path) -> list[Path]:
    """Returns the files that a server wrote for a prefix."""
    names = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    mine = len(prefix.name)
    return [file for file in names if file.name.startswith(prefix.name) and _NAME.fullmatch(file.name[mine:])]


def _age(file: Path) -> tuple[float, str]:
    return file.stat().st_mtime, file.name


def _record(answered: Answered, rate: float) -> bytes:
    """Returns a serialized PredictionLog."""
    record = prediction_log_pb2.PredictionLog()
    metadata, logged = record.log_metadata, record.predict_log
    metadata.sampling_config.sampling_rate = rate
    metadata.timestamp_secs = int(answered.seconds)
    for spec in (metadata.model_spec, logged.request.model_spec, logged.response.model_spec):
        spec.name, spec.signature_name = answered.model, answered.signature
        spec.version.value = answered.version
    for arrays, message in ((answered.inputs, logged.request.inputs), (answered.outputs, logged.response.outputs)):
        for alias, array in arrays.items():
            message[alias].CopyFrom(to_proto(array))
    return bytes(record.SerializeToString())
