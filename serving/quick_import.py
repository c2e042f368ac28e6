"""TensorFlow, imported quickly and quietly, for commands that a person waits for."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType

# TensorFlow, and Keras with it, look for these and do without where they are missing.
_UNNEEDED = ("pandas", "sklearn", "scipy", "IPython", "pydot", "googleapiclient")


def import_tensorflow() -> ModuleType:
    """The module `tensorflow`; what it prints on its way in is dropped, and what it can do without stays out."""
    # TensorFlow Transform leaves this to the processes that it starts: TensorFlow would import Keras 2 beside Keras.
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    with without(*_UNNEEDED), nothing_collected(), silenced_stderr():
        return importlib.import_module("tensorflow")


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Modules `names` are not installed, to what is imported meanwhile; those that are imported already are."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: to the import system, "not installed"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Does without garbage collection meanwhile, and for ever for what is there at its end.

    Modules are not garbage, and a collection looks at all of them, again and again while many are imported.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Drops what is written to file descriptor 2, by C++ libraries too. An exception still passes."""
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
