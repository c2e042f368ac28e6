"""A loaded version of a model: its signatures, and a fast way to run them."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from compat.tensorflow_paths import literal
from serving.model_server.contract import is_of_contract
from serving.model_server.faults import Code, Fault
from serving.model_server.tensors import Array

tf.get_logger().setLevel("ERROR")  # the loader is deprecated, but TensorFlow Serving uses it too

DEFAULT_SIGNATURE = "serving_default"
_CATALOGUES = 1000
# Prepared calls, each of which has a copy of a part of the graph.
_CALLABLES = 200
# A signature is slow for some time after so many calls in a row that took longer.
_SLOW_SECONDS, _SLOW_CALLS, _SLOW_FOR_SECONDS = 0.05, 3, 60.0
_CALLING_THREAD = -1  # RunOptions.inter_op_thread_pool, config.proto


@dataclasses.dataclass(frozen=True)
class SessionSettings:
    """How to load and run models.

    Attributes:
      tags: those of the graph to load.
      timeout_ms: after this time, a call starts no further operation. With 0, it has no limit.
      config: of TensorFlow's sessions.
    """

    tags: tuple[str, ...] = ("serve",)
    timeout_ms: int = 0
    config: config_pb2.ConfigProto = dataclasses.field(default_factory=config_pb2.ConfigProto)


class Batches(Protocol):
    """Merges requests (`serving.model_server.batching`)."""

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Runs like `Servable.run`."""
        ...

    def close(self) -> None:
        """Finishes the waiting requests."""
        ...


class Servable:
    """A SavedModel in its own session, as in TensorFlow Serving.

    A session computes only the requested outputs, and calls a signature 0.1 ms faster than the loaded function does.

    Attributes:
      catalogues: the number of entities that a ranking chooses from, by its output tensors and scalar inputs.
      answer_bytes: the size of a row of outputs by their tensors (`serving.model_server.outputs`).
    """

    def __init__(self, name: str, version: int, path: str, settings: SessionSettings) -> None:
        """Loads the SavedModel at `path`.

        Raises:
          Fault: the model has no graph with the tags.
          Exception: TensorFlow cannot load the model. The type depends on the problem.
        """
        self.name, self.version, self.path = name, version, path
        self._timeout_ms = settings.timeout_ms
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=settings.config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(self._session, list(settings.tags), literal(path))
        except RuntimeError as error:
            self._session.close()
            raise Fault(Code.NOT_FOUND, str(error)) from None  # the model has no graph with the tags
        except BaseException:  # free the memory, then re-raise
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        self._of_contract = {
            info.name
            for signature in self.signatures.values()
            if is_of_contract(signature.inputs)
            for info in signature.inputs.values()
        }
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}
        self._outputs: dict[str, Mapping[str, str]] = {}
        self.catalogues: dict[tuple[str, ...], int] = {}
        self.answer_bytes: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        self._slow_calls: dict[str, int] = {}
        self._slow_until: dict[str, float] = {}
        self._lock = threading.Lock()
        self._batcher: Batches | None = None

    def signature(self, name: str, code: Code = Code.INVALID_ARGUMENT) -> Any:
        """Returns the SignatureDef `name`, or the default signature if `name` is empty.

        Raises:
          Fault: the model has no such signature. The calls of TensorFlow Serving report it with different `code`s.
        """
        signature = self.signatures.get(name or DEFAULT_SIGNATURE)
        if signature is None:
            raise Fault(code, f"Serving signature name: {name or DEFAULT_SIGNATURE!r} not found in signature def")
        return signature

    def outputs_of(self, name: str) -> Mapping[str, str]:
        """Returns the tensor names of all outputs of a signature by alias, in order of the aliases.

        Raises:
          Fault: an output is not a dense tensor.
        """
        outputs = self._outputs.get(name)
        if outputs is None:
            signature = self.signature(name)
            outputs = {alias: tensor_name(signature.outputs[alias], alias) for alias in sorted(signature.outputs)}
            self._outputs[name] = outputs
        return outputs

    def remember_catalogue(self, key: tuple[str, ...], entities: int) -> None:
        """Stores how many entities a ranking chooses from (`serving.model_server.outputs`)."""
        if len(self.catalogues) >= _CATALOGUES:  # a key can contain values of requests
            self.catalogues.clear()
        self.catalogues[key] = entities

    def took(self, name: str, seconds: float) -> None:
        """Records how long a call of small requests took (`serving.model_server.together`)."""
        if seconds <= _SLOW_SECONDS:
            self._slow_calls.pop(name, None)
            return
        count = self._slow_calls.get(name, 0) + 1
        self._slow_calls[name] = count % _SLOW_CALLS
        if count == _SLOW_CALLS:
            self._slow_until[name] = time.monotonic() + _SLOW_FOR_SECONDS

    def is_slow(self, name: str) -> bool:
        """Whether a signature is slow, so that a thread that answers all requests must not wait for it."""
        return name in self._slow_until and time.monotonic() < self._slow_until[name]

    @property
    def batches(self) -> bool:
        """Whether `execute` merges requests, as --enable_batching asks for."""
        return self._batcher is not None

    def batch_with(self, batcher: Batches) -> None:
        """Makes `execute` merge requests through `batcher`."""
        self._batcher = batcher

    def execute(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Runs like `run`, in one batch with other requests if batching is on."""
        return self.run(feeds, fetches) if self._batcher is None else self._batcher.run(feeds, fetches)

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Computes tensors.

        Args:
          feeds: arrays by tensor name.
          fetches: the names of the tensors to compute.

        Returns:
          One array per name in `fetches`.

        Raises:
          tf.errors.OpError: TensorFlow refused the feeds, an operation failed, or the time is over.
        """
        key = (tuple(feeds), tuple(fetches))
        call = self._callables.get(key) or self._make_callable(*key)
        return [output if isinstance(output, np.ndarray) else _scalar(output) for output in call(*feeds.values())]

    def _make_callable(self, names: tuple[str, ...], fetches: tuple[str, ...]) -> Any:
        """Compiles a call. `Session.run` would refuse feeds that do not fit the static shape of a placeholder.

        TensorFlow prepares each compiled call at its first use, which takes a tenth of a second. Warm-up and all
        transports therefore share one, with the same time limit. Signatures of the contract run in the calling thread,
        which saves two changes between threads. They need no time limit, which would not end operations there.
        """
        with self._lock:
            options = config_pb2.CallableOptions(feed=names, fetch=fetches)
            if self._of_contract.issuperset(names):
                options.run_options.inter_op_thread_pool = _CALLING_THREAD
            else:
                options.run_options.timeout_in_ms = self._timeout_ms
            made = self._session._make_callable_from_options(options)
            if len(self._callables) >= _CALLABLES:  # clients choose outputs
                self._callables.clear()
            return self._callables.setdefault((names, fetches), made)

    def close(self) -> None:
        """Frees the memory of the model. All calls must have ended."""
        if self._batcher is not None:
            self._batcher.close()
        self._callables.clear()
        self._session.close()


def _scalar(value: Any) -> Array:
    """Converts a scalar result to an array. A scalar string arrives as bytes."""
    return np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)


def tensor_name(info: Any, alias: str) -> str:
    """Returns the graph name of the dense tensor that a signature calls `alias`."""
    if info.WhichOneof("encoding") not in ("name", None):
        raise Fault(Code.UNIMPLEMENTED, f"{alias!r} is not a dense tensor")
    return str(info.name)
