"""Replays requests against two models, and measures how their answers differ."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.replay.sample import LoggedRequest
from components.serving_canary.trained import Trained

# Each model answers each request this often, in turns. The fastest time counts.
_ROUNDS = 3
# Requests to large catalogs take long. They are in random order, so the first ones are a sample too.
TIME_LIMIT = 60.0

Answer = Mapping[str, np.ndarray[Any, Any]]


@dataclasses.dataclass
class Comparison:
    """The differences of the answers of two models to the same requests.

    Attributes:
      replayed: number of requests that were sent.
      failed: requests that the served version answers and the candidate does not.
      unanswered: requests that the served version does not answer.
      fault: why the candidate did not answer the first of the failed requests.
      changes: candidate's score minus that of the served version, for each pair.
      signs: number of pairs whose score has another sign.
      overlaps: the share of common ids of each ranking.
      firsts: number of rankings with another first id.
      ids: number of requested ids.
      unknown: how many of them each model does not know, first the candidate.
      lost: how many of them only the candidate does not know.
      seconds: the time of each request that both models answer, for each model, first the candidate.
    """

    replayed: int = 0
    failed: int = 0
    unanswered: int = 0
    fault: str | None = None
    changes: list[np.ndarray[Any, Any]] = dataclasses.field(default_factory=list)
    signs: int = 0
    overlaps: list[float] = dataclasses.field(default_factory=list)
    firsts: int = 0
    ids: int = 0
    unknown: tuple[int, int] = (0, 0)
    lost: int = 0
    seconds: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    @property
    def compared(self) -> int:
        """The number of requests that both models answered."""
        return len(self.seconds)

    def add(self, candidate: Answer, served: Answer) -> None:
        """Adds the answers of both models to one request."""
        self._add_known(candidate, served)
        rankings = [name for name, values in served.items() if values.dtype == object and values.ndim == 2]
        for name in rankings:
            self._add_rankings(candidate[name], served[name])
        if not rankings and "score" in served:
            self._add_scores(candidate["score"].ravel(), served["score"].ravel())

    def _add_scores(self, candidate: np.ndarray[Any, Any], served: np.ndarray[Any, Any]) -> None:
        self.changes.append(candidate.astype(float) - served)
        self.signs += int(np.count_nonzero(np.sign(candidate) != np.sign(served)))

    def _add_rankings(self, candidate: np.ndarray[Any, Any], served: np.ndarray[Any, Any]) -> None:
        for new, old in zip(candidate, served, strict=True):
            first, second = ([name for name in row if name] for row in (new, old))  # b"" fills the end of a row
            if first or second:
                self.overlaps.append(len({*first} & {*second}) / max(len(first), len(second)))
                self.firsts += first[:1] != second[:1]

    def _add_known(self, candidate: Answer, served: Answer) -> None:
        for name in ("known", "left_known", "right_known"):
            if name in served and name in candidate:
                new, old = candidate[name], served[name]
                self.ids += old.size
                missing = (int(np.count_nonzero(~new)), int(np.count_nonzero(~old)))
                self.unknown = self.unknown[0] + missing[0], self.unknown[1] + missing[1]
                self.lost += int(np.count_nonzero(old & ~new))

    def figures(self) -> dict[str, Any]:
        """Returns the figures as JSON values. Those that no request has are absent."""
        figures: dict[str, Any] = {
            "replayed": self.replayed,
            "compared": self.compared,
            "failed": self.failed,
            "unanswered": self.unanswered,
        }
        if self.fault:
            figures["fault"] = self.fault
        if changes := sum(map(len, self.changes)):
            distances = np.abs(np.concatenate(self.changes))
            figures["scores"] = {
                "pairs": changes,
                "mean_change": float(distances.mean()),
                "max_change": float(distances.max()),
                "sign_changes": self.signs / changes,
            }
        if rankings := len(self.overlaps):
            figures["rankings"] = {
                "lists": rankings,
                "overlap": float(np.mean(self.overlaps)),
                "first_changed": self.firsts / rankings,
            }
        if self.ids:
            figures["ids"] = {
                "requested": self.ids,
                "unknown": self.unknown[0] / self.ids,
                "unknown_served": self.unknown[1] / self.ids,
                "lost": self.lost / self.ids,
            }
        if self.seconds:
            figures["latency"] = _latency(self.seconds)
        return figures


def _latency(seconds: Sequence[tuple[float, float]]) -> dict[str, float]:
    times = np.array(seconds)
    p50, p99 = (np.percentile(times, q, axis=0) * 1000 for q in (50, 99))
    total = times.sum(axis=0)
    return {
        "ratio": float(total[0] / total[1]),
        "p50_ms": float(p50[0]),
        "p99_ms": float(p99[0]),
        "p50_served_ms": float(p50[1]),
        "p99_served_ms": float(p99[1]),
    }


def compare(
    candidate: Trained, served: Trained, requests: Iterable[LoggedRequest], limit: float = TIME_LIMIT
) -> Comparison:
    """Sends requests to two models in turns, and compares the answers.

    Both models run in this process, so that their times have no network in them.

    Args:
      candidate: the model to publish.
      served: the version to compare with.
      requests: logged requests in random order.
      limit: seconds after which no other request is sent.
    """
    comparison, deadline = Comparison(), time.monotonic() + limit
    for request in requests:
        if time.monotonic() > deadline:
            break
        comparison.replayed += 1
        try:
            old, _ = _answer(served, request)
        except _NotAnswered:
            comparison.unanswered += 1
            continue
        try:
            new, _ = _answer(candidate, request)
            comparison.add(new, _same_shapes(new, old))
        except _NotAnswered as fault:
            comparison.failed += 1
            comparison.fault = comparison.fault or f"{request.signature}: {fault}"
            continue
        comparison.seconds.append(_times(candidate, served, request))
    return comparison


class _NotAnswered(Exception):
    """A model does not answer a request."""


def _answer(model: Trained, request: LoggedRequest) -> tuple[Answer, float]:
    """Returns the outputs of a model, and the seconds that they took.

    Raises:
      _NotAnswered: the model refuses the request, or a score is not a finite number.
    """
    started = time.perf_counter()
    try:
        found = model.predict(request.signature, request.inputs)
    except KeyError as error:
        raise _NotAnswered(f"the model has no signature or input {error}") from None
    except (tf.errors.OpError, TypeError, ValueError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else str(error)
        raise _NotAnswered(reason.strip().splitlines()[0] if reason.strip() else type(error).__name__) from None
    seconds = time.perf_counter() - started
    outputs = {name: np.asarray(values) for name, values in found.items()}
    if any(values.dtype.kind == "f" and np.isnan(values).any() for values in outputs.values()):
        raise _NotAnswered("an output is not a number")
    return outputs, seconds


def _same_shapes(candidate: Answer, served: Answer) -> Answer:
    """Returns `served` if the candidate has each of its outputs, with as many rows.

    Raises:
      _NotAnswered: it does not.
    """
    for name, values in served.items():
        if name not in candidate:
            raise _NotAnswered(f"the output {name} is missing")
        new = candidate[name]
        if (new.dtype.kind, new.ndim, new.shape[:1]) != (values.dtype.kind, values.ndim, values.shape[:1]):
            raise _NotAnswered(f"the output {name} has shape {list(new.shape)} instead of {list(values.shape)}")
    return served


def _times(candidate: Trained, served: Trained, request: LoggedRequest) -> tuple[float, float]:
    """Returns the fastest time of each model."""
    rounds = [(_answer(candidate, request)[1], _answer(served, request)[1]) for _ in range(_ROUNDS)]
    return min(new for new, _ in rounds), min(old for _, old in rounds)
