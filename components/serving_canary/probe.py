"""The requests of the canary, and the checks of the replies."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.serving_canary.server import Server, ServerFailed
from components.serving_canary.trained import INTERNAL, Trained
from trainer import features
from trainer.export.approximate import DEFAULT, PROBES, SUFFIX
from trainer.export.tables import Tables

# The same operations run on the same numbers. The tolerance is relative for values above 1, where float32 has fewer
# decimal places.
TOLERANCE = 1e-5
_K = 10
_TIMED_REQUESTS = 200
# Scores that a request for the nearest entities computes, at most.
_RANKED = 1 << 20
_RANKING = "similar_right"


@dataclasses.dataclass(frozen=True)
class ProbePairs:
    """Ids of pairs to send.

    Attributes:
      left: left id of each pair.
      right: right id of each pair.
      features: values of the features of each pair by name of the input, such as `right_genres`.
    """

    left: list[bytes]
    right: list[bytes]
    features: dict[str, list[Any]] = dataclasses.field(default_factory=dict)

    def first(self, count: int) -> ProbePairs:
        """Returns the first `count` pairs."""
        features = {name: values[:count] for name, values in self.features.items()}
        return ProbePairs(self.left[:count], self.right[:count], features)

    @property
    def unknown(self) -> ProbePairs:
        """The same number of pairs with ids that are in no training data: invalid UTF-8 with a zero byte."""
        ids = [b"\xff\x00 never seen %d" % i for i in range(len(self.left))]
        return ProbePairs(ids, ids, self.features)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of one test.

    Attributes:
      what: signature and kind of ids.
      fault: why the test failed, or None if it passed.
    """

    what: str
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Latency:
    """Latency of single requests.

    Attributes:
      p50: median in milliseconds.
      p99: 99th percentile in milliseconds.
      requests: number of timed requests.
    """

    p50: float
    p99: float
    requests: int


@dataclasses.dataclass(frozen=True)
class Request:
    """A request of the canary.

    Attributes:
      what: signature and kind of ids.
      signature: name of the signature.
      inputs: columns by name of the input. Ids are bytes.
      missing: the inputs for which the canary has no value. Such a request is not sent.
      expected: the outputs of the trained model by name.
    """

    what: str
    signature: str
    inputs: dict[str, Any]
    missing: list[str]
    expected: Future[dict[str, Any]]


def requests(trained: Trained, pairs: ProbePairs, entities: int, threads: ThreadPoolExecutor) -> list[Request]:
    """Returns a request with known and one with unknown ids for each signature.

    Args:
      trained: the trained model.
      pairs: known ids to send.
      entities: number of entities that a signature with `k` ranks. Large catalogues get fewer ids.
      threads: computes what the trained model answers.
    """
    made = []
    for name, defined in sorted(trained.inputs.items()):
        known = pairs.first(max(_RANKED // max(entities, 1), 1)) if "k" in defined else pairs
        for kind, sent in ((f"{len(known.left)} eval rows", known), ("unknown ids", known.unknown)):
            inputs, missing = _inputs(defined, sent)
            expected = threads.submit(trained.predict, name, inputs)
            made.append(Request(f"{name}, {kind}", name, inputs, missing, expected))
    return made


def check_signatures(server: Server, requests: list[Request]) -> Iterator[Finding]:
    """Compares the replies of a server with those of the trained model.

    Yields:
      One finding for each request, and one if the server has other signatures than the trained model.
    """
    served, trained = set(server.signatures() or {}) - {INTERNAL}, {request.signature for request in requests}
    if served != trained:
        yield Finding("signatures", f"the server has {sorted(served)}, but the trained model has {sorted(trained)}")
    for request in requests:
        yield Finding(request.what, _fault(server, request))


def _fault(server: Server, request: Request) -> str | None:
    """Returns why the reply to a request is wrong, or None."""
    if request.missing:
        return f"the canary has no value for the inputs {', '.join(request.missing)}"
    try:
        reply = server.predict(request.signature, request.inputs)
    except (ServerFailed, OSError) as error:
        return str(error)
    return _difference(reply, request.expected.result())


def check_tables(tables: Tables, trained: Trained, pairs: ProbePairs) -> Finding:
    """Compares the scores that the Evaluator computes from the model's tables with those of its signature `score`.

    Args:
      tables: the model's tables.
      trained: the trained model.
      pairs: pairs to score.
    """
    left, right = (pa.array(ids, pa.binary()) for ids in (pairs.left, pairs.right))
    each = np.arange(len(left))
    scores, known = tables.scores(left, right, each, each)
    reply = trained.predict("score", {features.LEFT_ID: pairs.left, features.RIGHT_ID: pairs.right})
    of_signature = {"score": reply["score"], "known": reply["left_known"] & reply["right_known"]}
    return Finding(
        f"evaluated scores, {len(left)} eval rows", _difference({"score": scores, "known": known}, of_signature)
    )


def _inputs(defined: Iterable[str], pairs: ProbePairs) -> tuple[dict[str, Any], list[str]]:
    """Returns the values of the inputs of a signature, and the names of inputs without a value."""
    known = {
        features.LEFT_ID: pairs.left,
        features.RIGHT_ID: pairs.right,
        "examples": [_example(left, right) for left, right in zip(pairs.left, pairs.right, strict=True)],
        "k": _K,
        PROBES: DEFAULT,
        # A list for each row. The names of the inputs do not reveal which side is ranked, so it has ids of both.
        "exclude": [[left, right, b""] for left, right in zip(pairs.left, pairs.right, strict=True)],
        "candidates": [],
        **pairs.features,
        "given_id": [[left, right, b""] for left, right in zip(pairs.left, pairs.right, strict=True)],
        "given_score": [[1.0, 2.0, 0.0]] * len(pairs.left),
    }
    return {name: known[name] for name in defined if name in known}, sorted(set(defined) - set(known))


def _example(left: bytes, right: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature[features.LEFT_ID].bytes_list.value.append(left)
    example.features.feature[features.RIGHT_ID].bytes_list.value.append(right)
    serialized: bytes = example.SerializeToString()
    return serialized


def _difference(reply: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """Returns why a reply is wrong, or None.

    Ids are compared by number only, because near-equal scores can change places.
    """
    if "" in reply and len(expected) == 1:
        reply = {next(iter(expected)): reply[""]}
    if set(reply) != set(expected):
        return f"the outputs are {sorted(reply)}, but those of the trained model are {sorted(expected)}"
    for name, values in expected.items():
        replied = np.array(reply[name], dtype=object if values.dtype == object else values.dtype)
        # JSON has no inner dimensions for an array without rows or columns. An object with base64 is one id.
        if values.size and replied.shape[: values.ndim] != values.shape:
            return f"{name} has shape {list(replied.shape)}, but that of the trained model has {list(values.shape)}"
        if values.dtype == bool and (replied != values).any():
            return f"{name} differs from that of the trained model"
        if values.dtype.kind == "f" and values.size:
            fault = _inexact(name, replied, values)
            if fault:
                return fault
    return None


def _inexact(name: str, replied: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> str | None:
    if not np.isfinite(replied).all():
        return f"{name} is not a finite number"
    error = np.abs(replied - values) / np.maximum(1.0, np.abs(values))
    worst = np.unravel_index(int(error.argmax()), error.shape)
    if error[worst] <= TOLERANCE:
        return None
    found, right = (f"{array[worst]:.7g}" for array in (replied, values))
    return f"{name} is {found}, but {right} in the trained model: off by more than {TOLERANCE:g}"


def time_requests(server: Server, pairs: ProbePairs, signatures: Collection[str]) -> Latency:
    """Measures the latency of single requests: in turn, a score, a top 10, and an approximate top 10 if there is one.

    Args:
      server: server of the model.
      pairs: known ids to send.
      signatures: those of the model.
    """
    approximate = f"{_RANKING}{SUFFIX}"
    timed = ["score", _RANKING, *({approximate} & set(signatures))]
    seconds = []
    for i in range(_TIMED_REQUESTS):
        left, right = pairs.left[i % len(pairs.left)], pairs.right[i % len(pairs.right)]
        signature = timed[i % len(timed)]
        inputs: dict[str, Any] = {features.LEFT_ID: [left]}
        inputs |= {features.RIGHT_ID: [right]} if signature == "score" else {"k": _K}
        inputs |= {PROBES: DEFAULT} if signature == approximate else {}
        started = time.perf_counter()
        server.predict(signature, inputs)
        seconds.append(time.perf_counter() - started)
    p50, p99 = (float(np.percentile(seconds, q)) * 1000 for q in (50, 99))
    return Latency(round(p50, 3), round(p99, 3), len(seconds))
