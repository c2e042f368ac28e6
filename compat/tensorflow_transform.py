"""TensorFlow Transform: uses the Keras 3 of the model instead of importing Keras 2, and traces in one thread at a time.

Versions: tensorflow-transform 1.21. Other versions import Keras 2 next to Keras 3, which is slower. In workers
of a Beam engine, their graphs may then have files of other graphs, which nothing reads.

Reason: it imports Keras 2 for `TransformFeaturesLayer`, a layer that this project replaces
(`trainer.data.transform_graph`). The layer is built on Keras 3 in a prepared process and must not be used there. And
steps of an analyzer can be replaced in public, but not put back.

TensorFlow collects the tables of a graph that is traced in a list of the process (`_RESOURCE_TRACKER_STACK`). A worker
of a Beam engine has several threads. If one loads a graph while another traces, the traced graph gets the tables of
both, and their files. So loading and tracing wait for each other.

Upstream: `tensorflow_transform/keras_lib.py` ("Imports keras 2"), `tensorflow_transform/annotators.py`
("Thread-Hostile").
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from compat.imports import is_version

TESTED = "1.21."


def use_installed_keras(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `tensorflow_transform.keras_lib`."""
    if not is_version("tensorflow-transform", TESTED):
        return execute()
    module.tf_keras = importlib.import_module("keras")  # type: ignore[attr-defined]
    return None


def trace_in_turn(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `tensorflow_transform.saved.saved_transform_io_v2`."""
    execute()
    if is_version("tensorflow-transform", TESTED):
        lock = threading.RLock()
        for owner, name in ((module, "trace_and_update_module"), (module.SavedModelLoader, "__init__")):
            setattr(owner, name, _locked(getattr(owner, name), lock))


def _locked(function: Callable[..., Any], lock: threading.RLock) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*positional: Any, **named: Any) -> Any:
        with lock:
            return function(*positional, **named)

    return call


def own_step(operation: type) -> type | None:
    """Returns the step of an analyzer's operation that TensorFlow Transform registers itself, to register it again.

    Returns None where the registry has another name. Then steps that replaced it stay until the process ends.
    """
    common = importlib.import_module("tensorflow_transform.beam.common")
    registry = getattr(common, "_PTRANSFORM_BY_OPERATION_DEF_SUBCLASS", None)
    return registry[operation].get_ptransform(None)[0] if registry is not None else None
