"""Loads the train split, searches, and writes the trials and the recommended settings."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.execution import ExecutionArguments, ExecutorBase
from components.tuner.settings import TunerSettings
from kindred import progress
from trainer.data import dataset, hashing
from trainer.data.examples import Examples
from trainer.data.transform_graph import TransformGraph
from trainer.model.table_sizes import table_sizes
from trainer.search.tuning import Tuning, tune
from trainer.training import loading

TUNING_FILE = "tuning.json"
_BEST_FILE = "best_hyperparameters.txt"


class Executor(ExecutorBase):
    """Executor of Tuner. See there for inputs and outputs."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Searches. An interrupted search resumes. Its trials are removed once the outputs are complete."""
        results = execution.output("tuner_results").uri
        unfinished = os.path.join(os.path.dirname(os.path.dirname(results)), "unfinished", _digest(execution))
        found = _search(execution, unfinished)
        best = {"values": dict(found.values), "zero_point": found.zero_point}
        _write(os.path.join(execution.output("best_hyperparameters").uri, _BEST_FILE), best)
        _write(os.path.join(results, TUNING_FILE), found.to_json())
        if tf.io.gfile.exists(unfinished):
            tf.io.gfile.rmtree(unfinished)


def _search(execution: ExecutionArguments, unfinished: str) -> Tuning:
    settings = execution.settings(TunerSettings)
    transform = TransformGraph(execution.input("transform_graph").uri)
    sizes = table_sizes(transform, settings.encode)
    encoder = hashing.numbered(transform.transform_features_layer(), sizes.numberings)
    sections = {name: getattr(settings, name).model_dump(mode="json") for name in ("model", "train")}
    with tempfile.TemporaryDirectory(prefix="kindred-pairs-") as directory:
        examples = Examples(execution.input("examples").uri)
        searched = settings.train.search.active
        pairs, streamed = loading.load(examples, encoder, sizes, settings.model, settings.train, directory, searched)
        if streamed:
            progress.show(streamed)
            unfinished = os.path.join(unfinished, "streamed")  # with other held-out rows
        return tune(
            pairs, sizes, sections, settings.metric, settings.tune, unfinished, progress.show, dataset.times(examples)
        )


def _digest(execution: ExecutionArguments) -> str:
    """Returns a digest of the settings, the code and the input artifacts, which identifies a search."""
    uris = [execution.input(key).uri for key in ("examples", "transform_graph")]
    of = [execution.parameters["settings"], str(execution.parameters.get("code")), *uris]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]


def _write(path: str, content: Mapping[str, Any]) -> None:
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        json.dump(content, file)
