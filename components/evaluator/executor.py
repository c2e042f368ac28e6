"""Measures the candidate and the other models on the eval split, judges the rules, and writes the blessing."""

from __future__ import annotations

import os
import shutil
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import tensorflow as tf
from tfx import types
from tfx.components.evaluator import constants
from tfx.utils import path_utils

from components import coded_pairs
from components.coded_pairs import CodedPairs
from components.evaluator import baselines, slices
from components.evaluator.classes import classified
from components.evaluator.evaluation import BAR_PROPERTY, WORST_FILE, Evaluation, write_evaluation
from components.evaluator.figures import BIASES, LAST_BLESSED, MEAN, Figure
from components.evaluator.measure import Measured, measure
from components.evaluator.metrics import Labels, Outcome
from components.evaluator.predict import Predictions, predict
from components.evaluator.rules import judge
from components.evaluator.settings import EvaluationSettings, wanted
from components.evaluator.tfma_files import write_tfma_files
from components.execution import ExecutionArguments, ExecutorBase
from components.ranking_evaluator.figures_file import read_figures
from trainer.export.tables import read_tables

_WORST = 100


class Executor(ExecutorBase):
    """Executor of PairEvaluator. See there for inputs and outputs."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes `evaluation.json` and the worst pairs, and blesses the model if every rule holds.

        The worst pairs have the largest errors. Without scores, they are the positives with the lowest predictions.
        """
        settings = execution.settings(EvaluationSettings)
        directory, ranking = execution.output("evaluation").uri, execution.optional_input("ranking")
        figures: list[Figure] = []
        facts: dict[str, Any] = {"default_rules": settings.are_defaults}
        if settings.scored:
            figures, facts = _scores(execution, settings, directory, facts)
        if ranking:
            ranked, facts["ranking"] = read_figures(ranking.uri)
            figures = [*figures, *ranked]
            if not settings.scored:
                shutil.copyfile(os.path.join(ranking.uri, WORST_FILE), os.path.join(directory, WORST_FILE))
        evaluation = Evaluation(figures, judge(settings.rules, figures), facts)
        write_evaluation(evaluation, directory)
        write_tfma_files(evaluation, settings.rules, directory)
        _bless(execution, evaluation)


def _scores(
    execution: ExecutionArguments, settings: EvaluationSettings, directory: str, facts: dict[str, Any]
) -> tuple[list[Figure], dict[str, Any]]:
    pairs = coded_pairs.read(execution.input("examples").uri)
    candidate, unit = _predict(execution.input("model"), pairs)
    others = {name: of(pairs, unit.center, unit.scale) for name, of in _BASELINES.items()}
    if last := execution.optional_input("baseline_model"):
        others[LAST_BLESSED] = _predict(last, pairs)[0].answers
    label = np.asarray(pairs.eval.score, np.float64)
    weight = None if pairs.eval.weight is None else pairs.eval.weight.astype(np.float64)
    labels = Labels(label, label > unit.center, weight)
    rows = Measured(labels, candidate.answers, others, pairs.observed_entities(unit.shared))
    cuts = {side: slices.Cuts.of(pairs.weights(side)) for side in ("left", "right")}
    masks = _masks(pairs, candidate, rows.labels, cuts)
    # Nothing below needs the rows of the train split, which are most of the memory.
    pairs = pairs.without_train()
    figures = measure(rows, {name: masks[name] for name in settings.slices}, wanted(settings.rules))
    _write_worst(pairs, rows, directory)
    described = {
        "unit": {"center": unit.center, "scale": unit.scale},
        "classes": classified(Outcome(labels, candidate.answers)),
        "cuts": {side: {"head": cut.head, "middle": cut.middle} for side, cut in cuts.items()},
    }
    return figures, facts | described


_BASELINES = {MEAN: baselines.mean, BIASES: baselines.biases}


class _Unit(NamedTuple):
    """What remains of the tables of a model: the unit of its values, and whether both sides are one table."""

    center: float
    scale: float
    shared: bool


def _predict(model: types.Artifact, pairs: CodedPairs) -> tuple[Predictions, _Unit]:
    tables = read_tables(_serving_model(model))
    return predict(tables, pairs), _Unit(tables.center, tables.scale, tables.shared)


def _serving_model(model: types.Artifact) -> str:
    return str(path_utils.serving_model_path(model.uri))


def _masks(
    pairs: CodedPairs, predictions: Predictions, labels: Labels, cuts: dict[str, slices.Cuts]
) -> dict[str, np.ndarray]:
    left, right = pairs.weights("left")[pairs.eval.left], pairs.weights("right")[pairs.eval.right]
    return {
        **slices.popularity(slices.LEFT, left, cuts["left"]),
        **slices.popularity(slices.RIGHT, right, cuts["right"]),
        "known": predictions.known,
        "unknown": ~predictions.known,
        "positive": labels.positive,
        "negative": ~labels.positive,
    }


def _write_worst(pairs: CodedPairs, rows: Measured, directory: str) -> None:
    """Writes the pairs with the largest errors in descending order."""
    error = rows.candidate.value - rows.labels.value
    distance = np.abs(error)
    largest = np.argpartition(-distance, min(_WORST, len(distance)) - 1)[:_WORST]
    worst = largest[np.argsort(-distance[largest], kind="stable")]
    left, right = pairs.eval.left[worst], pairs.eval.right[worst]
    table = pa.table(
        {
            "left_id": pairs.left_ids.take(pa.array(left)),
            "right_id": pairs.right_ids.take(pa.array(right)),
            "label": rows.labels.value[worst],
            "value": rows.candidate.value[worst],
            "error": error[worst],
            "left_pairs": pairs.counts("left")[left],
            "right_pairs": pairs.counts("right")[right],
        }
    )
    buffer = pa.BufferOutputStream()
    pa.parquet.write_table(table, buffer)
    with tf.io.gfile.GFile(os.path.join(directory, WORST_FILE), "wb") as out:
        out.write(buffer.getvalue().to_pybytes())


def _bless(execution: ExecutionArguments, evaluation: Evaluation) -> None:
    """Writes the same marks as TFX's own Evaluator, which other components read, and which model sets the bar."""
    blessing, model = execution.output("blessing"), execution.input("model")
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    last = execution.optional_input("baseline_model")
    if last:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, last.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, last.id)
    bar = last if last and not evaluation.sets_the_bar else model
    blessing.set_int_custom_property(BAR_PROPERTY, bar.id)
    blessed = evaluation.blessed
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    with tf.io.gfile.GFile(os.path.join(blessing.uri, name), "w") as out:
        out.write("")
    value = constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)
