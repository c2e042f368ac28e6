"""The transform graph as a function of raw features. It uses only the public interface of TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_transform as tft

from compat.tensorflow_paths import literal


class TransformGraph(tft.TFTransformOutput):
    """The output of TensorFlow Transform, with a `tf.Module` that applies the graph.

    The layer of TensorFlow Transform uses Keras 2, which would be a second Keras to import.
    """

    def transform_features_layer(self) -> TransformModule:
        """Returns the transform graph, loaded once."""
        return self._module

    @functools.cached_property
    def _module(self) -> TransformModule:
        return TransformModule(self.transform_savedmodel_dir)

    def vocabulary_by_name(self, vocab_filename: str) -> list[bytes]:
        """The ids of a vocabulary in the order of their rows.

        Reads a text file at once. TensorFlow Transform reads it line by line, which takes ten times as long.
        """
        return list(self._vocabulary(vocab_filename))

    def vocabulary_size_by_name(self, vocab_filename: str) -> int:
        """The number of ids of a vocabulary."""
        return len(self._vocabulary(vocab_filename))

    def _vocabulary(self, name: str) -> list[bytes]:
        if name not in self._vocabularies:
            path = self.vocabulary_file_by_name(name)
            if path and not path.endswith(".gz"):
                with tf.io.gfile.GFile(path, "rb") as file:
                    self._vocabularies[name] = file.read().splitlines()
            else:
                self._vocabularies[name] = super().vocabulary_by_name(name)
        return self._vocabularies[name]

    @functools.cached_property
    def _vocabularies(self) -> dict[str, list[bytes]]:
        return {}


class TransformModule(tf.Module):
    """Encodes raw features. Returns only the transformed features that depend on no other raw feature.

    Args:
      directory: the SavedModel of TensorFlow Transform, with its function `transform_fn`.

    Example: `module({"left_id": tf.constant([["a"], ["b"]])})` returns `{"left": <int64 [2, 1]>}`.
    """

    def __init__(self, directory: str) -> None:
        super().__init__(name="transform_graph")
        # An attribute, so that a SavedModel of this module saves the vocabularies.
        self._loaded = tf.saved_model.load(literal(directory))
        (self._signature,), _ = self._loaded.transform_fn.structured_input_signature
        self._sources = _sources(self._loaded.transform_fn, self._signature)

    def __call__(self, raw: Mapping[str, tf.Tensor | tf.SparseTensor]) -> dict[str, tf.Tensor]:
        """Applies the graph to `raw`, each `[n, 1]`, or `[n, ...]` if sparse.

        Raises:
          ValueError: a feature name is unknown.
        """
        if unexpected := raw.keys() - self._signature.keys():
            raise ValueError(f"Unexpected inputs to the transform graph: {', '.join(sorted(unexpected))}")
        missing = {name: _nothing(spec) for name, spec in self._signature.items() if name not in raw}
        transformed = self._loaded.transform_fn({**raw, **missing})
        return {name: values for name, values in transformed.items() if self._sources[name] <= raw.keys()}


def _sources(
    function: tf.types.experimental.ConcreteFunction, signature: Mapping[str, tf.TypeSpec]
) -> dict[str, set[str]]:
    """Returns the names of the inputs in `signature` that each output of `function` depends on."""
    # A sparse input consists of several tensors. The captured inputs that follow are constants and tables.
    named = [name for name in sorted(signature) for _ in tf.nest.flatten(signature[name], expand_composites=True)]
    names = {placeholder.op.name: name for placeholder, name in zip(function.inputs, named, strict=False)}
    outputs = tf.nest.pack_sequence_as(function.structured_outputs, function.outputs, expand_composites=True)
    found = {}
    for output, value in outputs.items():
        ahead = [tensor.op for tensor in tf.nest.flatten(value, expand_composites=True)]
        seen = {operation.name for operation in ahead}
        while ahead:
            before = {source.op.name: source.op for source in ahead.pop().inputs if source.op.name not in seen}
            seen |= before.keys()
            ahead += before.values()
        found[output] = {names[name] for name in names.keys() & seen}
    return found


def _nothing(spec: tf.TypeSpec) -> tf.Tensor | tf.SparseTensor:
    """Returns a feature `[0, ...]` without rows. The graph encodes each feature by itself, and does no work for it."""
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.SparseTensor(
            tf.zeros([0, spec.shape.rank], tf.int64), tf.zeros([0], spec.dtype), [0] * spec.shape.rank
        )
    return tf.zeros([0, *spec.shape[1:]], spec.dtype)
