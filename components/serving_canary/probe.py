"""What a canary asks of a served model, and how it judges the answers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.serving_canary.server import Server, ServerFailed
from trainer import features
from trainer.export.tables import Tables

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]

# Of the answer of the same operations on the same numbers; relative beyond 1, where float32 has no more digits.
TOLERANCE = 1e-5
_K = 10
_TIMED_REQUESTS = 200
_INTERNAL = "__saved_model_init_op"


@dataclasses.dataclass(frozen=True)
class Rows:
    """Pairs of the eval split."""

    left: list[bytes]
    right: list[bytes]

    @property
    def unknown(self) -> Rows:
        """As many pairs of ids that no training has seen: no UTF-8, with a zero byte."""
        ids = [b"\xff\x00 never seen %d" % i for i in range(len(self.left))]
        return Rows(ids, ids)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was tried; `fault` says what is wrong, if anything is."""

    what: str
    fault: str | None = None


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds of a single request, of those that were timed."""

    p50: float
    p99: float
    requests: int


def trained(model: str) -> Ask:
    """The answers of the SavedModel `model` in this process."""
    loaded = tf.saved_model.load(model)

    def ask(signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        tensors = {name: tf.constant(value, _type(name)) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in loaded.signatures[signature](**tensors).items()}

    return ask


def _type(name: str) -> tf.DType:
    return tf.int32 if name == "k" else tf.string


def check_signatures(server: Server, signatures: dict[str, Any], expected: Ask, rows: Rows) -> Iterator[Finding]:
    """Asks every signature with `rows`, then with unknown ids; every answer must be that of `expected`."""
    for name in sorted(set(signatures) - {_INTERNAL}):
        for kind, asked in ((f"{len(rows.left)} eval rows", rows), ("unknown ids", rows.unknown)):
            inputs, unheard = _inputs(signatures[name]["inputs"], asked)
            what = f"{name}, {kind}"
            if unheard:
                yield Finding(what, f"it takes {', '.join(unheard)}, which the canary cannot give")
                continue
            try:
                answer = server.predict(name, inputs)
            except (ServerFailed, OSError) as error:
                yield Finding(what, str(error))
                continue
            yield Finding(what, _difference(answer, expected(name, inputs)))


def check_tables(tables: Tables, expected: Ask, rows: Rows) -> Finding:
    """Compares the scores that the Evaluator read from the model's tables with those of its signature `score`."""
    left, right = (pa.array(ids, pa.binary()) for ids in (rows.left, rows.right))
    each = np.arange(len(left))
    scores, known = tables.scores(left, right, each, each)
    told = {"score": scores, "known": known}
    answer = expected("score", {features.LEFT_ID: rows.left, features.RIGHT_ID: rows.right})
    right_answer = {"score": answer["score"], "known": answer["left_known"] & answer["right_known"]}
    return Finding(f"evaluated scores, {len(left)} eval rows", _difference(told, right_answer))


def _inputs(wanted: dict[str, Any], rows: Rows) -> tuple[dict[str, Any], list[str]]:
    """Values by name for the inputs that a signature wants, and the names of those for which there is none."""
    known = {
        features.LEFT_ID: rows.left,
        features.RIGHT_ID: rows.right,
        "examples": [_example(left, right) for left, right in zip(rows.left, rows.right, strict=True)],
        "k": _K,
        "exclude": rows.left[:1],
        "candidates": [],
    }
    return {name: known[name] for name in wanted if name in known}, sorted(set(wanted) - set(known))


def _example(left: bytes, right: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature[features.LEFT_ID].bytes_list.value.append(left)
    example.features.feature[features.RIGHT_ID].bytes_list.value.append(right)
    serialized: bytes = example.SerializeToString()
    return serialized


def _difference(answer: dict[str, Any], expected: dict[str, Any]) -> str | None:
    """What is wrong with an answer. Ids are compared by number only: near-equal scores may trade places."""
    if "" in answer and len(expected) == 1:
        answer = {next(iter(expected)): answer[""]}
    if set(answer) != set(expected):
        return f"it answers {sorted(answer)}, and the trained model {sorted(expected)}"
    for name, values in expected.items():
        told = np.array(answer[name], dtype=object if values.dtype == object else values.dtype)
        # Without rows or columns JSON tells no inner dimensions; objects of base64 are one id each.
        if values.size and told.shape[: values.ndim] != values.shape:
            return f"{name} has shape {list(told.shape)}, and the trained model's has {list(values.shape)}"
        if values.dtype == bool and (told != values).any():
            return f"{name} differs from the trained model's"
        if values.dtype.kind == "f" and values.size:
            fault = _off(name, told, values)
            if fault:
                return fault
    return None


def _off(name: str, told: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> str | None:
    if not np.isfinite(told).all():
        return f"{name} is not a finite number"
    error = np.abs(told - values) / np.maximum(1.0, np.abs(values))
    worst = np.unravel_index(int(error.argmax()), error.shape)
    if error[worst] <= TOLERANCE:
        return None
    found, right = (f"{array[worst]:.7g}" for array in (told, values))
    return f"{name} is {found}, not {right} as the trained model's: off by more than {TOLERANCE:g}"


def time_requests(server: Server, rows: Rows) -> Latency:
    """Latency of one pair scored, and one top-10, in turns: what a client waits for."""
    seconds = []
    for i in range(_TIMED_REQUESTS):
        left, right = rows.left[i % len(rows.left)], rows.right[i % len(rows.right)]
        ranking = i % 2
        inputs: dict[str, Any] = {features.LEFT_ID: [left]}
        inputs |= {"k": _K} if ranking else {features.RIGHT_ID: [right]}
        started = time.perf_counter()
        server.predict("similar_right" if ranking else "score", inputs)
        seconds.append(time.perf_counter() - started)
    p50, p99 = (float(np.percentile(seconds, q)) * 1000 for q in (50, 99))
    return Latency(round(p50, 3), round(p99, 3), len(seconds))
