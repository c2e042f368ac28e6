"""The unit of labels: how a score becomes a value, such as a star rating."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from trainer import features
from trainer.data.transform_graph import TransformGraph

# Points where the affine map from scores to labels is measured. The largest one whose label fits float32 is far above
# any score, so (probe - center) / scale equals probe / scale to the last bit. Powers of two avoid rounding.
_PROBES = 2.0 ** np.arange(120, -121, -20)
# The estimated center is that of the graph up to this many float32 numbers on either side.
_NEXT = 16


@dataclasses.dataclass(frozen=True)
class Unit:
    """The unit of the label: value = score * scale + center. The center is a float32 number."""

    center: float
    scale: float


def unit_of(transform: TransformGraph) -> Unit:
    """Reads the center and the scale from the transform graph.

    Only the graph has them, so this transforms 0 and huge scores, and then scores near the center. If pairs have no
    score, returns the unit of the model.
    """
    if features.SCORE not in transform.raw_feature_spec():
        return Unit(center=0.0, scale=1.0)
    zero, *labels = _labels(transform, np.array([0.0, *_PROBES]))
    largest = int(np.argmax(np.isfinite(labels)))
    scale = _PROBES[largest] / (labels[largest] - zero)
    return Unit(center=_exact(transform, -zero * scale), scale=float(scale))


def _exact(transform: TransformGraph, estimate: float) -> float:
    """Returns the score next to `estimate` whose label is 0. Labels of other scores keep their sign.

    The rounding of the estimate would give a label of the center, such as 3 stars, a sign.
    """
    near = [np.float32(estimate)]
    for toward in (-np.inf, np.inf):
        step = near[0]
        for _ in range(_NEXT):
            step = np.nextafter(step, np.float32(toward))
            near.append(step)
    near.sort(key=lambda score: abs(float(score) - estimate))
    zeros = np.flatnonzero(_labels(transform, np.array(near)) == 0)
    return float(near[zeros[0]] if len(zeros) else near[0])


def _labels(transform: TransformGraph, scores: np.ndarray) -> np.ndarray:
    raw = tf.constant(scores[:, None], tf.float32)
    label = transform.transform_features_layer()({features.SCORE: raw})[features.LABEL]
    return np.asarray(label.numpy().astype(np.float64)[:, 0])
