"""A sample of the requests in a log."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.request_logs import model_of, read_records

_SEED = 1


@dataclasses.dataclass(frozen=True)
class LoggedRequest:
    """A Predict request.

    Attributes:
      signature: name of the signature.
      inputs: arrays by name of the input. Ids are bytes.
    """

    signature: str
    inputs: dict[str, np.ndarray[Any, Any]]


@dataclasses.dataclass
class Sample:
    """Requests from a log, in random order, and what else the log has.

    Attributes:
      requests: the requests, each of the log with the same probability.
      files: number of files.
      records: number of readable records.
      damaged: number of files that are damaged, or end in the middle of a record.
      foreign: number of records that are no Predict request of TensorFlow Serving.
      others: number of requests to other models, by name.
    """

    requests: list[LoggedRequest] = dataclasses.field(default_factory=list)
    files: int = 0
    records: int = 0
    damaged: int = 0
    foreign: int = 0
    others: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def read_sample(files: Sequence[Path], model: str, count: int) -> Sample:
    """Reads files, and draws requests from all of them.

    Args:
      files: the files of a log.
      model: name of the model. Requests to others are counted.
      count: maximum number of requests.
    """
    sample, chosen = Sample(files=len(files)), _Reservoir(count)
    for file in files:
        _read(file, model, sample, chosen)
    decoded = [_decoded(request) for request in chosen.drawn()]
    sample.requests = [request for request in decoded if request is not None]
    sample.foreign += len(decoded) - len(sample.requests)
    return sample


def _read(file: Path, model: str, sample: Sample, chosen: _Reservoir) -> None:
    try:
        for log in read_records(file):
            sample.records += 1
            if log is None or not log.HasField("predict_log"):
                sample.foreign += 1
            elif (name := model_of(log)[0]) != model:
                sample.others[name] += 1
            else:
                chosen.offer(log.predict_log.request)
    except tf.errors.OpError:
        sample.damaged += 1


class _Reservoir:
    """Keeps `count` of the offered items, each with the same probability. Two runs keep the same."""

    def __init__(self, count: int) -> None:
        self._count, self._seen, self._random = count, 0, random.Random(_SEED)
        self._kept: list[Any] = []

    def offer(self, item: Any) -> None:
        self._seen += 1
        if len(self._kept) < self._count:
            self._kept.append(item)
        elif (place := self._random.randrange(self._seen)) < self._count:
            self._kept[place] = item

    def drawn(self) -> list[Any]:
        self._random.shuffle(self._kept)
        return self._kept


def _decoded(request: Any) -> LoggedRequest | None:
    """Returns a request with arrays, or None if the content of a tensor does not match its shape or type."""
    try:
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
    except (TypeError, ValueError):
        return None
    return LoggedRequest(request.model_spec.signature_name or "serving_default", inputs)
