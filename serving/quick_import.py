"""TensorFlow, imported quickly and quietly, for commands that a person waits for."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType

# Keras, which TensorFlow imports, looks for these and does without where they are missing: 1.3 of 4.7 seconds.
_UNNEEDED = ("pandas", "sklearn")


def import_tensorflow() -> ModuleType:
    """The module `tensorflow`; what it prints on its way in is dropped, and data-frame libraries stay out."""
    hidden = [name for name in _UNNEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "not installed", to the import system
    try:
        with silenced_stderr():
            return importlib.import_module("tensorflow")
    finally:
        for name in hidden:
            del sys.modules[name]


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
