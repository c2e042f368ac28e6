"""A published model, loaded into this process. Needs only TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from compat.tensorflow import silenced_stderr
from compat.tensorflow_paths import literal
from errors import ModelNotFound
from kindred.manifest import damage
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
                self._model = tf.saved_model.load(literal(str(path)))
            self._signatures, self._path = self._model.signatures, path
        except (OSError, tf.errors.OpError, ValueError) as error:
            raise ModelNotFound(f"--model {path}: cannot load the model: {str(error).splitlines()[0]}") from None
        if "score" not in self._signatures:
            raise ModelNotFound(f"--model {path}: not a Kindred model, because it has no signature `score`")

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, list[Any]]:
        """Calls a signature, as described in `ModelClient`.

        Raises:
          ModelNotFound: the model has no such signature.
        """
        if signature not in self._signatures:
            why = "an earlier version of Kindred published it. Train and publish it again"
            if signature.endswith("_approximate"):
                why = "it has no index. Set publish.approximate: true, and train and publish it again"
            raise ModelNotFound(f"--model {self._path}: has no signature `{signature}`, because {why}")
        function = self._signatures[signature]
        specs = function.structured_input_signature[1]
        tensors = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
        return {name: tensor.numpy().tolist() for name, tensor in function(**tensors).items()}
