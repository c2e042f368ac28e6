"""Measures how much of the exact ranking the approximate signatures of a model find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from compat.tensorflow_paths import literal
from components import intervals
from components.evaluator.figures import Figure, number
from components.evaluator.names import APPROXIMATE
from components.evaluator.slices import OVERALL
from trainer import features
from trainer.export.approximate import DEFAULT, PROBES, SUFFIX
from trainer.ranking import ranking_metrics

_RANKING = "similar_right"
_QUERIES = 1000
# An exact ranking of so many queries needs moderate memory: 64 MiB for a catalogue of a million.
_AT_A_TIME = 16
_NO_INDEX = "the model has no approximate rankings (publish.approximate)"


def measure_approximate(metrics: Sequence[str], model: str, left_ids: pa.Array) -> list[Figure]:
    """Returns the figures of `approximate_recall@K`: the share of the exact top K that the approximate ranking finds.

    Calls the signatures of the model with their default number of blocks.

    Args:
      metrics: names of metrics.
      model: directory of the SavedModel.
      left_ids: ids to rank for, binary `[n]`. Of more than 1,000, a sample is used.

    Returns:
      A figure for each metric, on all rows. It has no rows if the model has no approximate signature.
    """
    if not metrics:
        return []
    signatures = tf.saved_model.load(literal(model)).signatures
    if f"{_RANKING}{SUFFIX}" not in signatures:
        return [Figure(metric, OVERALL, 0, None, missing=_NO_INDEX) for metric in metrics]
    depths = {metric: ranking_metrics.parse(metric.removeprefix(APPROXIMATE))[1] or 0 for metric in metrics}
    chosen = np.sort(np.random.default_rng(0).permutation(len(left_ids))[:_QUERIES])
    exact, approximate = _ranked(signatures, left_ids.take(pa.array(chosen)).to_pylist(), max(depths.values()))
    return [_figure(metric, exact[:, :depth], approximate[:, :depth]) for metric, depth in depths.items()]


def _ranked(signatures: Any, ids: list[bytes], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the exact and the approximate answers `[n, k]`, or fewer if the catalogue is smaller."""

    def answers(name: str, **more: Any) -> np.ndarray:
        signature: Callable[..., dict[str, tf.Tensor]] = signatures[name]
        parts = (tf.constant(ids[start : start + _AT_A_TIME]) for start in range(0, len(ids), _AT_A_TIME))
        found = [signature(left_id=part, k=tf.constant(k), **more)[features.RIGHT_ID].numpy() for part in parts]
        # If both sides share a table, some parts have one answer less.
        width = min((part.shape[1] for part in found), default=0)
        return np.concatenate([np.zeros((0, width), object), *(part[:, :width] for part in found)])

    return answers(_RANKING), answers(f"{_RANKING}{SUFFIX}", **{PROBES: tf.constant(DEFAULT)})


def _figure(metric: str, exact: np.ndarray, approximate: np.ndarray) -> Figure:
    pairs = zip(exact.tolist(), approximate.tolist(), strict=True)
    shares = np.array([len(set(best) & set(found)) / max(len(best), 1) for best, found in pairs])
    low, high = intervals.of_means(shares)
    value = number(shares.mean()) if len(shares) else None
    return Figure(metric, OVERALL, len(shares), value, number(low), number(high))
