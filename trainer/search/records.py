"""Finished trials on disk, so that an interrupted search resumes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from trainer.search.measures import Figure

# Sweeps in a row that are not better, after which a trial ends.
PATIENCE = 2


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting and its measure.

    Attributes:
      settings: the values of the searched keys, by dotted key.
      value: the metric of the best epoch on the held-out rows, or None if the settings could not be tried.
      epochs: the number of the best epoch.
      seconds: the duration of the trial.
      sweeps: how many epochs were trained.
      zero_point: the score that separates held-out positives from random pairs. None for labels.
      fault: why the settings could not be tried.
      work: the predicted work of the trial, in seconds of a core.
    """

    settings: Mapping[str, Any]
    value: float | None
    epochs: int
    seconds: float
    sweeps: int
    zero_point: float | None = None
    fault: str | None = None
    work: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether more sweeps would be of no use, because the last ones were not better."""
        return self.sweeps - self.epochs >= PATIENCE or self.value is None


Measured = tuple[Trial, Figure | None]


class TrialRecords:
    """Keeps the trials of one search in a folder.

    Args:
      folder: of this search only, or None to keep nothing.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder

    def read(self, key: Sequence[Any]) -> list[Measured] | None:
        """Returns the trials of a run with the arguments `key`, or None if there are none that can be read."""
        path = self._path(key)
        if path is None or not tf.io.gfile.exists(path):
            return None
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                content = np.load(io.BytesIO(file.read()), allow_pickle=False)
            trials = [Trial(**tree) for tree in json.loads(str(content["trials"]))]
            return [
                (trial, None if trial.value is None else Figure(trial.value, content[f"influence{number}"]))
                for number, trial in enumerate(trials)
            ]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            logging.warning("the trial in %s cannot be read (%s). It is made again", path, error)
            return None

    def write(self, key: Sequence[Any], measured: Sequence[Measured]) -> None:
        """Keeps the trials of a run."""
        path = self._path(key)
        if path is None:
            return
        arrays = {f"influence{n}": figure.influence for n, (_, figure) in enumerate(measured) if figure is not None}
        content = io.BytesIO()
        trials = json.dumps([dataclasses.asdict(trial) for trial, _ in measured])
        np.savez(content, **{"trials": np.array(trials), **arrays})  # type: ignore[arg-type]
        tf.io.gfile.makedirs(path.rpartition("/")[0])
        with tf.io.gfile.GFile(path + ".staged", "wb") as file:
            file.write(content.getvalue())
        tf.io.gfile.rename(path + ".staged", path, overwrite=True)

    def _path(self, key: Sequence[Any]) -> str | None:
        if self._folder is None:
            return None
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        return f"{self._folder}/{digest}.npz"
