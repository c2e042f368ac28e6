"""What Transform learned, as a function of raw features."""

from __future__ import annotations

import functools

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved import saved_transform_io_v2


class TransformGraph(tft.TFTransformOutput):
    """TensorFlow Transform's output, whose graph is applied by a module of TensorFlow's.

    Its own layer does the same in Keras 2, which is a second Keras to import beside that of the model.
    """

    def transform_features_layer(self) -> TransformModule:
        """The transform graph, loaded once."""
        return self._module

    @functools.cached_property
    def _module(self) -> TransformModule:
        return TransformModule(self.transform_savedmodel_dir)


class TransformModule(tf.Module):
    """Raw features by name -> those transformed features by name that depend on no others."""

    def __init__(self, directory: str) -> None:
        super().__init__(name="transform_graph")
        self._loader = saved_transform_io_v2.SavedModelLoader(directory)
        # The loader is no module: a SavedModel of ours keeps the vocabularies because they are attributes of one.
        self._loaded = vars(self._loader)

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Applies the graph to `raw`, each `[n, 1]`.

        Raises:
          ValueError: a feature of another name.
        """
        transformed: dict[str, tf.Tensor] = self._loader.apply_transform_model(raw)
        return transformed
