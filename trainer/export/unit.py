"""The unit of labels: how a score of the model becomes a value such as a star rating."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from trainer import features
from trainer.data.transform_graph import TransformGraph

# Where the affine map from scores to labels is probed: the largest of these whose label float32 can hold is far beyond
# any score, so that (probe - center) / scale is probe / scale to the last bit; powers of two, so nothing is rounded.
_PROBES = 2.0 ** np.arange(120, -121, -20)


@dataclasses.dataclass(frozen=True)
class Unit:
    """The label's own unit: value = score * scale + center."""

    center: float
    scale: float


def unit_of(transform: TransformGraph) -> Unit:
    """Reads centre and scale back from the transform graph, which alone knows them: transforms 0 and huge scores.

    Where pairs have no score, the model's own unit is the only one.
    """
    if features.SCORE not in transform.raw_feature_spec():
        return Unit(center=0.0, scale=1.0)
    scores = tf.constant([[0.0], *([probe] for probe in _PROBES)], tf.float32)
    no_ids = tf.fill(tf.shape(scores), b"")
    probes = {features.LEFT_ID: no_ids, features.RIGHT_ID: no_ids, features.SCORE: scores}
    zero, *labels = transform.transform_features_layer()(probes)[features.LABEL].numpy().astype(np.float64)[:, 0]
    largest = int(np.argmax(np.isfinite(labels)))
    scale = _PROBES[largest] / (labels[largest] - zero)
    return Unit(center=float(-zero * scale), scale=float(scale))
