"""TensorFlow Transform: uses the Keras 3 of the model instead of importing Keras 2.

Versions: tensorflow-transform 1.21. Other versions import Keras 2 next to Keras 3, which is slower.

Reason: it imports Keras 2 for `TransformFeaturesLayer`, a layer that this project replaces
(`trainer.data.transform_graph`). The layer is built on Keras 3 in a prepared process and must not be used there. And
steps of an analyzer can be replaced in public, but not put back.

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


def own_step(operation: type) -> type | None:
    """Returns the step of an analyzer's operation that TensorFlow Transform registers itself, to register it again.

    Returns None where the registry has another name. Then steps that replaced it stay until the process ends.
    """
    common = importlib.import_module("tensorflow_transform.beam.common")
    registry = getattr(common, "_PTRANSFORM_BY_OPERATION_DEF_SUBCLASS", None)
    return registry[operation].get_ptransform(None)[0] if registry is not None else None
