"""A published model, loaded in this process and called by its signatures. Needs TensorFlow and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from compat.tensorflow import silenced_stderr
from errors import ModelNotFound
from serving.answers import Neighbor, PairScore


class LocalModel:
    """A SavedModel with Kindred's signatures."""

    def __init__(self, path: Path) -> None:
        """Loads the SavedModel directory `path` (`serving.store.find_model` finds it).

        Raises:
          ModelNotFound: `path` holds no SavedModel with Kindred's signatures.
        """
        try:
            with silenced_stderr():
                self._model = tf.saved_model.load(str(path))
            self._signatures = self._model.signatures
        except (OSError, tf.errors.OpError, ValueError) as error:
            raise ModelNotFound(f"--model {path}: cannot be loaded: {str(error).splitlines()[0]}") from None
        if "score" not in self._signatures:
            raise ModelNotFound(f"--model {path}: a SavedModel, but not one of Kindred's: it has no signature `score`")

    def score(self, left_id: bytes, right_id: bytes) -> PairScore:
        """The score of one pair."""
        answer = self._call("score", left_id=tf.constant([left_id]), right_id=tf.constant([right_id]))
        return PairScore(**{name: column[0].item() for name, column in answer.items()})

    def similar(self, side: str, query_id: bytes, k: int) -> tuple[list[Neighbor], bool]:
        """The `k` entities of `side` (left or right) that score highest with `query_id` of the other side.

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
