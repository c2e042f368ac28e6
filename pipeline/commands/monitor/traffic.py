"""The logged requests of each version of a model, counted."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.pair_statistics.distribution import COUNTS, Distribution
from components.request_logs import log_files, model_of, read_records
from errors import InputError
from storage.urls import is_object

SIDES = ("left", "right")
# The signatures whose scores are of the pairs that a client asks for. Those of rankings are only the best ones.
_SCORING = ("score", "serving_default")


@dataclasses.dataclass
class Traffic:
    """The logged requests of one version of a model.

    Attributes:
      model: its name.
      version: its number.
      requests: the number of requests by signature.
      ids: how often each id was asked for, by side.
      unknown: how many of them the model did not know, by side.
      scores: the scores of pairs that clients asked for.
      moments: when the first and the last request were logged, in seconds since 1970, or 0.
    """

    model: str
    version: int
    requests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    ids: dict[str, collections.Counter[bytes]] = dataclasses.field(
        default_factory=lambda: {side: collections.Counter() for side in SIDES}
    )
    unknown: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    scores: list[np.ndarray] = dataclasses.field(default_factory=list)
    moments: tuple[int, int] = (0, 0)

    @property
    def distribution(self) -> Distribution:
        """The requested ids and scores as a distribution of pairs."""
        left, right = (_counts(self.ids[side]) for side in SIDES)
        return Distribution(left, right, np.sort(np.concatenate([*self.scores, np.zeros(0, np.float32)])))

    @property
    def period(self) -> tuple[str, str] | None:
        """The times of the first and the last request, or None if the log does not have them."""
        if not self.moments[0]:
            return None
        first, last = (datetime.datetime.fromtimestamp(moment, datetime.timezone.utc) for moment in self.moments)
        return first.isoformat(), last.isoformat()

    def add(self, log: Any) -> None:
        """Adds a PredictionLog."""
        request, response = log.predict_log.request, log.predict_log.response
        signature = request.model_spec.signature_name or "serving_default"
        self.requests[signature] += 1
        moment = log.log_metadata.timestamp_secs
        if moment:
            first, last = self.moments
            self.moments = min(first or moment, moment), max(last, moment)
        for side in SIDES:
            asked = list(request.inputs[f"{side}_id"].string_val) if f"{side}_id" in request.inputs else []
            self.ids[side].update(asked)
            # `score` has a flag for each side, the others have one.
            name = f"{side}_known" if f"{side}_known" in response.outputs else "known"
            if asked and name in response.outputs:
                self.unknown[side] += int(np.count_nonzero(~tf.make_ndarray(response.outputs[name])))
        if signature in _SCORING and "score" in response.outputs:
            scores = np.asarray(tf.make_ndarray(response.outputs["score"]), np.float32).ravel()
            self.scores.append(scores[np.isfinite(scores)])


@dataclasses.dataclass(frozen=True)
class Log:
    """The content of log files.

    Attributes:
      files: the files that were read.
      records: the number of records.
      damaged: the files that end in the middle of a record, as a file does that a server still writes.
      traffic: the requests of each version, by model and version.
    """

    files: list[Path]
    records: int
    damaged: list[Path]
    traffic: list[Traffic]


def read_log(prefix: Path | str) -> Log:
    """Reads all files whose paths, or URLs of objects, begin with `prefix`.

    Raises:
      InputError: there is no such file, or none of them has a request.
      StoreError, StoreUnavailable: the store refuses a request, cannot be reached, or fails.
    """
    with log_files(str(prefix)) as files:
        if not files:
            what = "object begins with this URL" if is_object(str(prefix)) else "file begins with this path"
            raise InputError(f"--log {prefix}: no {what}. Use the filename_prefix of the model config")
        traffic: dict[tuple[str, int], Traffic] = {}
        damaged, records = [], 0
        for file in files:
            count, whole = _read(file, traffic)
            records += count
            damaged += [] if whole else [file]
    if not traffic:
        raise InputError(f"--log {prefix}: {len(files)} files without a Predict request, such as {files[0]}")
    return Log(files, records, damaged, [traffic[key] for key in sorted(traffic)])


def _read(file: Path, traffic: dict[tuple[str, int], Traffic]) -> tuple[int, bool]:
    """Adds the records of a file. Returns their number, and whether the file ends with a whole record."""
    count = 0
    try:
        for log in read_records(file):
            if log is None:
                raise InputError(f"--log {file}: a record is not a PredictionLog of TensorFlow Serving")
            count += 1
            if log.HasField("predict_log"):
                key = model_of(log)
                traffic.setdefault(key, Traffic(*key)).add(log)
    except tf.errors.DataLossError:
        return count, False
    return count, True


def _counts(ids: collections.Counter[bytes]) -> pa.Table:
    ordered = ids.most_common()
    columns = [
        pa.array([name for name, _ in ordered], pa.large_binary()),
        pa.array([n for _, n in ordered], pa.int64()),
    ]
    return pa.table(columns, schema=COUNTS)
