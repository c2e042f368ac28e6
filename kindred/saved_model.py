"""A SavedModel of this program, loaded into this process. Needs only TensorFlow and Arrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from compat.tensorflow_paths import literal


class NoSignature(LookupError):
    """The model has no signature with this name."""


class SavedModel:
    """The signatures of a SavedModel, called with columns of ids as bytes.

    Args:
      path: the directory of the SavedModel.

    Raises:
      OSError, tf.errors.OpError, ValueError: the directory is no readable SavedModel.
    """

    def __init__(self, path: str) -> None:
        self._model = tf.saved_model.load(literal(path))
        self.signatures = self._model.signatures

    def call(self, signature: str, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        """Calls a signature. Returns its outputs by name.

        Raises:
          NoSignature: the model has no such signature.
        """
        function = self._signature(signature)
        specs = function.structured_input_signature[1]
        return dict(function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}))

    def rank(self, signature: str, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Calls a signature that ranks the entities of a side.

        Args:
          signature: `similar_*` or `neighbors_*`.
          ids: the ids of the queries, bytes `[n]`.
          k: the number of answers for each query.

        Returns:
          The ids of the answers, bytes `[n, at most k]`, and their scores, float32 in the same shape. Best first.

        Raises:
          NoSignature: the model has no such signature.
        """
        inputs = self._signature(signature).structured_input_signature[1]
        (queries,) = (name for name in inputs if name.endswith("_id"))
        found = self.call(signature, {queries: ids, "k": k})
        (answers,) = (tensor for name, tensor in found.items() if name.endswith("_id"))
        return answers.numpy(), found["score"].numpy()

    def ids(self, side: str) -> pa.Array:
        """Returns the ids that the model knows on a side, binary, in the order of its table: most frequent first."""
        return pa.array(getattr(self._model, side).ids.numpy(), pa.binary())

    def _signature(self, signature: str) -> Any:
        if signature not in self.signatures:
            raise NoSignature(signature)
        return self.signatures[signature]
