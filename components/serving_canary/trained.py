"""The trained model in this process, which computes the replies that the canary expects."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from compat.tensorflow_paths import literal

# A signature that the loader of TensorFlow adds.
INTERNAL = "__saved_model_init_op"


def quick_config() -> config_pb2.ConfigProto:
    """Returns the configuration of sessions that call each signature a few times.

    TensorFlow's optimizer of graphs reads the functions of all signatures again for each of them, which takes a tenth
    of a second. Without it, calls of functions must be replaced by their operations in another way.
    """
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.do_function_inlining = True
    return config


class Trained:
    """The trained model, which this process runs.

    Args:
      model: directory of the SavedModel.
    """

    def __init__(self, model: str) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=quick_config())
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], literal(model))
        self._signatures: dict[str, meta_graph_pb2.SignatureDef] = {
            name: signature for name, signature in loaded.signature_def.items() if name != INTERNAL
        }

    @property
    def inputs(self) -> dict[str, list[str]]:
        """The names of the inputs of each signature."""
        return {name: sorted(signature.inputs) for name, signature in self._signatures.items()}

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs of a signature by name. `inputs` has its columns by name, and ids as bytes."""
        defined = self._signatures[signature]
        feeds = {info.name: _array(inputs[name], info.dtype) for name, info in defined.inputs.items()}
        outputs: dict[str, Any] = self._session.run({name: info.name for name, info in defined.outputs.items()}, feeds)
        return outputs


def _array(value: Any, dtype: int) -> np.ndarray[Any, Any]:
    return np.array(value, tf.as_dtype(dtype).as_numpy_dtype)
