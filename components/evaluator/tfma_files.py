"""Writes the evaluation in the format of TensorFlow Model Analysis for its API and notebook widgets.

`tfma.load_eval_result(URI)` returns every figure of the candidate with its interval, and
`tfma.load_validation_result(URI)` the failed rules. The column `slice` has the slice names of the pipeline file.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence

import tensorflow as tf
from google.protobuf import json_format, message
from tensorflow_model_analysis import version
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2

from components.evaluator.evaluation import Evaluation
from components.evaluator.figures import Figure
from components.evaluator.rules import Rule
from components.evaluator.slices import OVERALL

_COLUMN = "slice"
_METRICS_FILE = "metrics-00000-of-00001.tfrecord"
_VALIDATIONS_FILE = "validations.tfrecord"
_RUN_FILE = "eval_config.json"


def write_tfma_files(evaluation: Evaluation, rules: Sequence[Rule], directory: str) -> None:
    """Writes TFMA's metrics, validations and configuration of `evaluation` into `directory`.

    `rules` and `evaluation.rules` have the same order.
    """
    slices = list(dict.fromkeys(figure.slice for figure in evaluation.figures))
    # TFMA stores None for a slice without metrics, and its own readers fail on it.
    valued = dict.fromkeys(figure.slice for figure in evaluation.figures if figure.value is not None)
    _write_records((_metrics(evaluation.figures, name) for name in valued), os.path.join(directory, _METRICS_FILE))
    _write_records([_validation(evaluation, rules)], os.path.join(directory, _VALIDATIONS_FILE))
    with tf.io.gfile.GFile(os.path.join(directory, _RUN_FILE), "w") as out:
        out.write(json_format.MessageToJson(_run(evaluation.figures, slices)))


def _metrics(figures: Iterable[Figure], slice_: str) -> metrics_for_slice_pb2.MetricsForSlice:
    metrics = metrics_for_slice_pb2.MetricsForSlice(slice_key=_slice_key(slice_))
    for figure in figures:
        if figure.slice != slice_ or figure.value is None:
            continue
        entry = metrics.metric_keys_and_values.add()
        entry.key.name = figure.metric
        entry.value.double_value.value = figure.value
        if figure.low is not None and figure.high is not None:
            entry.confidence_interval.lower_bound.double_value.value = figure.low
            entry.confidence_interval.upper_bound.double_value.value = figure.high
    return metrics


def _validation(evaluation: Evaluation, rules: Sequence[Rule]) -> validation_result_pb2.ValidationResult:
    validation = validation_result_pb2.ValidationResult(validation_ok=evaluation.blessed)
    broken = [(rule, result) for rule, result in zip(rules, evaluation.rules, strict=True) if not result.ok]
    by_slice = itertools.groupby(sorted(broken, key=lambda pair: pair[0].of_slice), key=lambda pair: pair[0].of_slice)
    for slice_, pairs in by_slice:
        of_slice = validation.metric_validations_per_slice.add(slice_key=_slice_key(slice_))
        for rule, result in pairs:
            failure = of_slice.failures.add(message=str(result))
            failure.metric_key.name = rule.metric
            if result.value is not None:
                failure.metric_value.double_value.value = result.value
    return validation


def _run(figures: Sequence[Figure], slices: Sequence[str]) -> config_pb2.EvalRun:
    names = dict.fromkeys(figure.metric for figure in figures)
    config = config_pb2.EvalConfig(
        slicing_specs=[
            config_pb2.SlicingSpec(feature_values={_COLUMN: name} if name != OVERALL else {}) for name in slices
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name=name) for name in names])],
    )
    return config_pb2.EvalRun(eval_config=config, version=version.VERSION)


def _slice_key(slice_: str) -> metrics_for_slice_pb2.SliceKey:
    if slice_ == OVERALL:
        return metrics_for_slice_pb2.SliceKey()
    single = metrics_for_slice_pb2.SingleSliceKey(column=_COLUMN, bytes_value=slice_.encode())
    return metrics_for_slice_pb2.SliceKey(single_slice_keys=[single])


def _write_records(messages: Iterable[message.Message], path: str) -> None:
    with tf.io.TFRecordWriter(path) as writer:
        for each in messages:
            writer.write(each.SerializeToString())
