"""TFX and TensorFlow Model Analysis: delays packages that import all of their modules.

Versions: tfx 1.21, tensorflow-model-analysis 0.52. Other versions are imported without changes, which is slower.

Reason: `tfx.components` imports every component, and `tensorflow_model_analysis` every metric. With them come NLTK,
Kubernetes' client, IPython and scikit-learn, which no run uses. A graph imports components by the full
names of their modules, and importing a module first imports its package.

Upstream: `tfx/components/__init__.py` and `tensorflow_model_analysis/__init__.py`, which import everything.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from compat.imports import execute_later, is_version

TESTED = {"tfx.components": ("tfx", "1.21."), "tensorflow_model_analysis": ("tensorflow-model-analysis", "0.52.")}


def import_on_demand(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `tfx.components` and of `tensorflow_model_analysis`."""
    if is_version(*TESTED[module.__name__]):
        execute_later(module, execute)
    else:
        execute()
