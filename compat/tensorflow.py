"""TensorFlow and Keras: imported without optional libraries and without messages.

Versions: tensorflow 2.21, keras 3.15 (3.12 on Python 3.10). Other versions are imported without changes. They are
slower and print messages to stderr.

Reason: both try to import pandas, scikit-learn, SciPy, IPython, pydot and Google's API client, and work without them.
Without them, 2,900 modules are imported instead of 4,400, in half of the time. TensorFlow's C++ code writes to file
descriptor 2 during the import and ignores Python's logging settings.

Upstream: https://github.com/tensorflow/tensorflow/issues/37729, "import tensorflow is very slow".
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

from compat.imports import is_version, without

UNNEEDED = ("pandas", "sklearn", "scipy", "IPython", "pydot", "googleapiclient")
TESTED: dict[str, str | tuple[str, ...]] = {"tensorflow": "2.21.", "keras": ("3.12.", "3.15.")}


def import_quickly(module: ModuleType, execute: Callable[[], None]) -> None:
    """The shortcut of `tensorflow` and of `keras`, whichever is imported first."""
    if not all(is_version(*tested) for tested in TESTED.items()):
        return execute()
    # TensorFlow Transform sets this for its child processes. It would make TensorFlow import Keras 2 as well.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    with without(*UNNEEDED), silenced_stderr():
        return execute()


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discards output to file descriptor 2, also from C++ libraries. Exceptions still propagate."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
