"""TFX and Beam, imported without what they import and no graph of ours uses: 8,000 modules would come, 5,000 do."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from serving.quick_import import import_tensorflow, nothing_collected, without

# Beam looks for these and does without where they are missing. Its clients of Google's stores are not among them.
_UNNEEDED_BY_BEAM = ("pandas", "apache_beam.io.gcp.bigquery")
# Their `__init__` imports every component and every metric there is; we import by the full names of modules.
_PACKAGES_OF_ALL = ("tfx.components", "tensorflow_model_analysis")


@contextlib.contextmanager
def tfx_imported() -> Iterator[None]:
    """TensorFlow and Beam are imported, and modules of TFX are imported quickly by what is inside; idempotent."""
    with nothing_collected():
        import_tensorflow()
        with without(*_UNNEEDED_BY_BEAM):
            importlib.import_module("apache_beam")
        _use_one_keras()
        for name in _PACKAGES_OF_ALL:
            if name not in sys.modules:
                _hollow(name)
        # TensorFlow Data Validation says at length that it cannot draw in notebooks then.
        with without("IPython"), contextlib.redirect_stderr(io.StringIO()):
            yield


def _use_one_keras() -> None:
    """Gives TensorFlow Transform the Keras that is there: it imports a second one, for a layer that is not used here.

    `trainer.data.transform_graph` applies the transform graph without that layer.
    """
    name = "tensorflow_transform.keras_lib"
    if name not in sys.modules:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].tf_keras = importlib.import_module("keras")  # type: ignore[attr-defined]


def _hollow(name: str) -> None:
    """Puts package `name` in place without running its `__init__`, which runs when something asks it for a name."""
    spec = importlib.util.find_spec(name)
    assert spec
    package = importlib.util.module_from_spec(spec)
    package.__class__ = _Hollow
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)


class _Hollow(ModuleType):
    """A package that has not run its `__init__` yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if importlib.util.find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # whole from here on, and no longer ours
        assert self.__spec__
        assert self.__spec__.loader
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
