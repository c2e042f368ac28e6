"""From a version's directory to a servable that has been warmed up."""

from __future__ import annotations

import dataclasses
import time

import tensorflow as tf

from serving.model_server.batching import Batcher, BatchingSettings
from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.inference import Inference
from serving.model_server.metrics import Metrics
from serving.model_server.servable import Servable, SessionSettings
from serving.model_server.warmup import warm_up

_WHAT_A_VERSION_IS_MADE_OF = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


@dataclasses.dataclass(frozen=True)
class Loader:
    """Loads versions as the flags of the server say."""

    session: SessionSettings
    inference: Inference
    metrics: Metrics
    batching: BatchingSettings | None = None
    warmup: bool = True
    warmup_iterations: int = 1

    def load(self, name: str, version: int, path: str) -> Servable:
        """The SavedModel in the directory `path`, warmed up.

        Raises:
          Fault: it cannot be loaded, or refuses its own warm-up requests.
        """
        started, status = time.perf_counter(), Code.OK
        try:
            servable = self._load(name, version, path)
        except Exception as error:  # a model may be broken in any way; it is counted, and told by its status
            fault = _as_load_fault(error, path)
            status = fault.code
            raise fault from None
        finally:
            self.metrics.loads.add(path, status.name)
            self.metrics.load_latency.add(path, by=(time.perf_counter() - started) * 1e6)
        return servable

    def _load(self, name: str, version: int, path: str) -> Servable:
        servable = Servable(name, version, path, self.session)
        try:
            if self.warmup:
                warm_up(servable, self.inference, self.metrics, self.warmup_iterations)
        except BaseException:  # and goes on, once the memory is free
            servable.close()
            raise
        if self.batching is not None:
            servable.batch_with(Batcher(servable.run, self.batching, self.metrics))
        return servable


def _as_load_fault(error: Exception, path: str) -> Fault:
    """An OSError of the loader is a model that is not there, or not whole."""
    if isinstance(error, OSError):
        return Fault(Code.NOT_FOUND, f"Could not find SavedModel at {path}: {error}")
    fault = fault_of(error)
    return Fault(fault.code, f"SavedModel at {path} cannot be served: {fault.message}")


def fingerprint(path: str) -> tuple[tuple[int, int] | None, ...]:
    """Size and time of the files of a version: it changes when somebody mends a broken one."""
    return tuple(_stat(tf.io.gfile.join(path, name)) for name in _WHAT_A_VERSION_IS_MADE_OF)


def _stat(path: str) -> tuple[int, int] | None:
    try:
        found = tf.io.gfile.stat(path)
    except tf.errors.OpError:
        return None
    return int(found.length), int(found.mtime_nsec)
