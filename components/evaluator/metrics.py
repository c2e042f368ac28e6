"""Errors of the model beside those of the constant model, as one metric of TensorFlow Model Analysis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

# The outputs of the model's `evaluate` signature.
VALUE, BASELINE = "value", "baseline"

_Sums = tuple[float, float, float, float, int]

NAMES = ("rmse", "mae", "baseline_rmse", "baseline_mae", "rmse_gain", "mae_gain")


class PairErrors(metric_types.Metric):
    """Root mean squared and mean absolute error in the label's own unit.

    For model and constant model (which answers the mean, or whatever the labels are centred on, for every pair):
    `rmse`, `mae`, `baseline_rmse`, `baseline_mae`, and `rmse_gain`, `mae_gain` = baseline error - model error.
    """

    def __init__(self, name: str = "pair_errors") -> None:
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


metric_types.register_metric(PairErrors)


def _computations(
    name: str = "pair_errors", model_name: str = "", output_name: str = "", **_: Any
) -> metric_types.MetricComputations:
    del name
    # `example_weighted=None` is how TFMA keys the thresholds of a MetricsSpec, by which ours are set.
    keys = {metric: metric_types.MetricKey(metric, model_name, output_name, example_weighted=None) for metric in NAMES}
    combiner = _ErrorSums(keys, model_name)
    return [metric_types.MetricComputation(keys=list(keys.values()), preprocessors=None, combiner=combiner)]


class _ErrorSums(beam.CombineFn):
    """Sums of squared and absolute errors of the model and of the constant model, and the row count."""

    def __init__(self, keys: dict[str, metric_types.MetricKey], model_name: str) -> None:
        self._keys = keys
        self._model_name = model_name

    def create_accumulator(self) -> _Sums:
        return (0.0, 0.0, 0.0, 0.0, 0)

    def add_input(self, accumulator: _Sums, element: metric_types.StandardMetricInputs) -> _Sums:
        predictions = element.get_predictions(self._model_name)
        labels = element.get_labels()
        if isinstance(labels, dict):  # two models: TFMA keys the labels by model, the same ones for each
            labels = labels[self._model_name]
        label = np.asarray(labels, np.float64).ravel()
        error = np.asarray(predictions[VALUE], np.float64).ravel() - label
        constant = np.asarray(predictions[BASELINE], np.float64).ravel() - label
        squared, absolute, constant_squared, constant_absolute, count = accumulator
        return (
            squared + float(error @ error),
            absolute + float(np.abs(error).sum()),
            constant_squared + float(constant @ constant),
            constant_absolute + float(np.abs(constant).sum()),
            count + len(label),
        )

    def merge_accumulators(self, accumulators: Iterable[_Sums]) -> _Sums:
        squared, absolute, constant_squared, constant_absolute, count = (
            sum(column) for column in zip(*accumulators, strict=True)
        )
        return squared, absolute, constant_squared, constant_absolute, int(count)

    def extract_output(self, accumulator: _Sums) -> dict[metric_types.MetricKey, float]:
        squared, absolute, constant_squared, constant_absolute, count = accumulator
        if not count:
            return dict.fromkeys(self._keys.values(), math.nan)
        rmse, baseline_rmse = math.sqrt(squared / count), math.sqrt(constant_squared / count)
        mae, baseline_mae = absolute / count, constant_absolute / count
        values = (rmse, mae, baseline_rmse, baseline_mae, baseline_rmse - rmse, baseline_mae - mae)
        return {self._keys[name]: value for name, value in zip(NAMES, values, strict=True)}
