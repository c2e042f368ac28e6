"""What a model knows about the features of a side."""

from __future__ import annotations

import dataclasses

from trainer.entity_features.encoder import FeatureEncoder
from trainer.entity_features.ridge import FeatureMap


@dataclasses.dataclass(frozen=True)
class Described:
    """How to encode the features of a side, and the map to vectors and biases."""

    encoder: FeatureEncoder
    map: FeatureMap
