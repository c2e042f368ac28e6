"""Loads the directory of a version and warms it up."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from typing import Any

import tensorflow as tf

from errors import KindredError, ModelDamaged
from kindred.manifest import damage
from serving.model_server.batching import Batcher, BatchingSettings
from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.inference import Inference
from serving.model_server.metrics import ServerMetrics
from serving.model_server.servable import Servable, SessionSettings
from serving.model_server.warmup import warm_up
from storage.urls import is_object

# The files of a remote version in which changes are looked for. Of a local one, all are.
_VERSION_FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


@dataclasses.dataclass(frozen=True)
class Loader:
    """Loads versions according to the flags of the server."""

    session: SessionSettings
    inference: Inference
    metrics: ServerMetrics
    batching: BatchingSettings | None = None
    warmup: bool = True
    warmup_iterations: int = 1

    def load(self, name: str, version: int, path: str) -> Servable:
        """Loads the SavedModel in the directory `path` and replays its warm-up requests.

        Raises:
          Fault: the model cannot be loaded, or a warm-up request fails. DATA_LOSS: a file differs from the manifest.
        """
        started, status = time.perf_counter(), Code.OK
        try:
            servable = self._load(name, version, path)
        except Exception as error:  # a model can be broken in any way: count it and report it in its status
            fault = _as_load_fault(error, path)
            status = fault.code
            raise fault from None
        finally:
            self.metrics.loads.add(path, status.name)
            self.metrics.load_latency.add(path, by=(time.perf_counter() - started) * 1e6)
        return servable

    def _load(self, name: str, version: int, path: str) -> Servable:
        if is_object(path):
            path = _downloaded(path)
        if "://" not in path and (wrong := damage(path)):
            raise Fault(Code.DATA_LOSS, f"{os.path.join(path, wrong)} is missing or changed since it was published")
        servable = Servable(name, version, path, self.session)
        try:
            if self.warmup:
                warm_up(servable, self.inference, self.metrics, self.warmup_iterations)
        except BaseException:  # free the memory, then re-raise
            servable.close()
            raise
        if self.batching is not None:
            servable.batch_with(Batcher(servable.run, self.batching, self.metrics))
        return servable


def _downloaded(path: str) -> str:
    from serving.downloads import local_copy  # imports PyArrow

    return local_copy(path)


def _as_load_fault(error: Exception, path: str) -> Fault:
    """Converts an error of the loader. An OSError means that the model is missing or incomplete."""
    if isinstance(error, ModelDamaged):
        return Fault(Code.DATA_LOSS, str(error))
    if isinstance(error, KindredError):
        return Fault(Code.UNAVAILABLE, str(error))
    if isinstance(error, OSError):
        return Fault(Code.NOT_FOUND, f"Could not find SavedModel at {path}: {error}")
    fault = fault_of(error)
    return Fault(fault.code, f"SavedModel at {path} cannot be served: {fault.message}")


def fingerprint(path: str) -> tuple[Any, ...]:
    """Returns size and modification time of the files of a version, to detect that a broken version was repaired."""
    if is_object(path):
        from serving import downloads

        with contextlib.suppress(KindredError):
            return downloads.fingerprint(path)
        return ()
    if "://" in path:
        return tuple(_stat_remote(tf.io.gfile.join(path, name)) for name in _VERSION_FILES)
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return tuple(map(_stat, files))


def _stat(path: str) -> tuple[int, int] | None:
    """Returns size and time in nanoseconds. TensorFlow would round the time of a local file to seconds."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _stat_remote(path: str) -> tuple[int, int] | None:
    try:
        stat = tf.io.gfile.stat(path)
    except tf.errors.OpError:
        return None
    return int(stat.length), int(stat.mtime_nsec)
