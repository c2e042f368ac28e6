"""A published model, loaded into this process. Needs only TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from compat.tensorflow import silenced_stderr
from compat.tensorflow_paths import literal
from errors import ModelNotFound
from serving.answers import Neighbor, PairScore


class LocalModel:
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
          ModelNotFound: the directory is not a readable SavedModel with Kindred's signatures.
        """
        try:
            with silenced_stderr():
                self._model = tf.saved_model.load(literal(str(path)))
            self._signatures = self._model.signatures
        except (OSError, tf.errors.OpError, ValueError) as error:
            raise ModelNotFound(f"--model {path}: cannot load the model: {str(error).splitlines()[0]}") from None
        if "score" not in self._signatures:
            raise ModelNotFound(f"--model {path}: not a Kindred model, because it has no signature `score`")

    def score(self, left_id: bytes, right_id: bytes) -> PairScore:
        """Scores one pair.

        Args:
          left_id: the id of the left entity.
          right_id: the id of the right entity.

        Returns:
          The score. Unknown ids are scored too, and flagged.
        """
        answer = self._call("score", left_id=tf.constant([left_id]), right_id=tf.constant([right_id]))
        return PairScore(**{name: column[0].item() for name, column in answer.items()})

    def similar(self, side: str, query_id: bytes, k: int) -> tuple[list[Neighbor], bool]:
        """Finds the entities of one side that score highest with an entity of the other side.

        Args:
          side: the side to search, `left` or `right`.
          query_id: the id of an entity on the other side.
          k: the maximum number of entities to return.

        Returns:
          The entities, best first, and whether the query is known.
        """
        other = "left" if side == "right" else "right"
        query = {f"{other}_id": tf.constant([query_id])}
        answer = self._call(f"similar_{side}", **query, k=tf.constant(k, tf.int32))
        known = bool(self._call(f"embed_{other}", **query)["known"][0])
        pairs = zip(answer[f"{side}_id"][0], answer["score"][0], strict=True)
        return [Neighbor(bytes(name), float(score)) for name, score in pairs], known

    def _call(self, signature: str, **inputs: Any) -> dict[str, np.ndarray[Any, Any]]:
        return {name: tensor.numpy() for name, tensor in self._signatures[signature](**inputs).items()}
