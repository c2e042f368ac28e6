"""TensorFlow Data Validation: imported without IPython, and without the warning about that.

Versions: tensorflow-data-validation 1.21. Other versions are imported without changes, including IPython.

Reason: it imports IPython to draw statistics in notebooks, which no run does. Without IPython it prints a paragraph.

Upstream: `tensorflow_data_validation/__init__.py` and `utils/display_util.py`, which catch the ImportError.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from types import ModuleType

from compat.imports import is_version, without

TESTED = "1.21."


def import_quickly(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `tensorflow_data_validation`."""
    if not is_version("tensorflow-data-validation", TESTED):
        return execute()
    with without("IPython"), contextlib.redirect_stderr(io.StringIO()):
        return execute()
