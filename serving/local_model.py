"""A published model, loaded into this process. Needs only TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from compat.tensorflow import silenced_stderr
from errors import ModelNotFound
from kindred.manifest import damage
from kindred.saved_model import NoSignature, SavedModel
from serving.client import ModelClient


class LocalModel(ModelClient):
    """A client of a SavedModel in this process.

    Example:
      ```python
      model = LocalModel(find_model(Path("ROOT/serving")))
      model.score(b"cat", b"dog").score
      neighbors, known = model.similar("right", b"cat", k=10)
      ```
    """

    def __init__(self, path: Path) -> None:
        """Loads a SavedModel.

        Args:
          path: the directory of the SavedModel. `serving.store.find_model` returns that of the newest version.

        Raises:
          ModelNotFound: the directory is no readable SavedModel with Kindred's signatures, or a file of it is damaged.
        """
        if wrong := damage(str(path)):
            raise ModelNotFound(
                f"--model {path}: the file {wrong} is missing or changed since the version was published. "
                "Run the pipeline again, which publishes a whole version, or name another version"
            )
        try:
            with silenced_stderr():
                self._model, self._path = SavedModel(str(path)), path
        except (OSError, tf.errors.OpError, ValueError) as error:
            raise ModelNotFound(f"--model {path}: cannot load the model: {str(error).splitlines()[0]}") from None
        if "score" not in self._model.signatures:
            raise ModelNotFound(f"--model {path}: not a Kindred model, because it has no signature `score`")

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        """Calls a signature, as described in `ModelClient`.

        Raises:
          ModelNotFound: the model has no such signature.
        """
        return {name: tensor.numpy().tolist() for name, tensor in self._call(signature, inputs).items()}

    def rank(self, signature: str, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Calls a signature that ranks the entities of a side, as described in `SavedModel.rank`.

        Raises:
          ModelNotFound: the model has no such signature.
        """
        try:
            return self._model.rank(signature, ids, k)
        except NoSignature:
            raise self._lacks(signature) from None

    def score_pairs(self, left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
        """Calls `score` for ids of bytes, each `[n]`. Returns its outputs by name, each `[n]`."""
        return {name: t.numpy() for name, t in self._call("score", {"left_id": left, "right_id": right}).items()}

    def embeddings(self, side: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the vectors of ids of bytes `[n]`, float32 `[n, d]`, and whether each is known, bool `[n]`."""
        found = self._call(f"embed_{side}", {f"{side}_id": ids})
        return found["embedding"].numpy(), found["known"].numpy()

    def ids(self, side: str) -> pa.Array:
        """Returns the ids that the model knows on a side, binary, in the order of its table: most frequent first."""
        return self._model.ids(side)

    def _call(self, signature: str, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        try:
            return self._model.call(signature, inputs)
        except NoSignature:
            raise self._lacks(signature) from None

    def _lacks(self, signature: str) -> ModelNotFound:
        why = "an earlier version of Kindred published it. Train and publish it again"
        if signature.endswith("_approximate"):
            why = "it has no index. Set publish.approximate: true, and train and publish it again"
        return ModelNotFound(f"--model {self._path}: has no signature `{signature}`, because {why}")
