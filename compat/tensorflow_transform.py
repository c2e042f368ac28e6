"""TensorFlow Transform: uses the Keras 3 of the model instead of importing Keras 2.

Versions: tensorflow-transform 1.21. Other versions import Keras 2 next to Keras 3, which is slower.

Reason: it imports Keras 2 for `TransformFeaturesLayer`, a layer that this project replaces
(`trainer.data.transform_graph`). The layer is built on Keras 3 in a prepared process and must not be used there.

Upstream: `tensorflow_transform/keras_lib.py` ("Imports keras 2").
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

from compat.imports import is_version

TESTED = "1.21."


def use_installed_keras(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `tensorflow_transform.keras_lib`."""
    if not is_version("tensorflow-transform", TESTED):
        return execute()
    module.tf_keras = importlib.import_module("keras")  # type: ignore[attr-defined]
    return None
