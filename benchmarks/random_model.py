"""Publishes a model of random rows, to measure serving without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def publish(entities: int, dimension: int, path: Path) -> None:
    """Exports a model of random rows like the Trainer.

    Args:
      entities: the number of ids of each side.
      dimension: the length of each row.
      path: the directory of the SavedModel.
    """
    import tensorflow as tf

    from trainer.export import saved_model
    from trainer.export.published_model import PublishedModel
    from trainer.model.network import build_model
    from trainer.model.table_sizes import TableSizes
    from trainer.settings import ModelSettings

    class Vocabularies(tf.Module):
        """Replaces the transform graph. The ids are numbers, and there are no scores."""

        def __init__(self) -> None:
            super().__init__()
            self.ids = [b"%d" % i for i in range(entities)]
            numbers = tf.range(entities, dtype=tf.int64)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(tf.constant(self.ids), numbers), entities
            )

        def vocabulary_by_name(self, name: str) -> list[bytes]:
            return self.ids

        def transform_features_layer(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
            return self.encode

        def encode(self, raw: dict[str, Any]) -> dict[str, Any]:
            return {name.removesuffix("_id"): self.table.lookup(ids) for name, ids in raw.items()}

        def raw_feature_spec(self) -> dict[str, Any]:
            return {}

    network = build_model(TableSizes(entities + 1, entities + 1), ModelSettings(dimension=dimension), seed=1)
    vocabularies = Vocabularies()
    model = PublishedModel(network, vocabularies, shared=False)
    model.vocabularies = vocabularies  # makes TensorFlow save its table
    tf.saved_model.save(model, str(path), signatures=saved_model.signatures(model))
