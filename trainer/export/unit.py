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


@dataclasses.dataclass(frozen=True)
class Unit:
    """The unit of the label: value = score * scale + center."""

    center: float
    scale: float


def unit_of(transform: TransformGraph) -> Unit:
    """Reads the center and the scale from the transform graph.

    Only the graph has them, so this transforms 0 and huge scores. If pairs have no score, returns the unit of the
    model.
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
