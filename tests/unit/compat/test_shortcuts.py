"""Each shortcut supports the locked version, and other versions are imported without changes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from compat import apache_beam, numpy, tensorflow, tensorflow_data_validation, tensorflow_transform, tfx
from compat.imports import Shortcut, is_version
from compat.process import SHORTCUTS

TESTED = [
    *tensorflow.TESTED.items(),
    *tfx.TESTED.values(),
    ("apache-beam", apache_beam.TESTED),
    ("numpy", numpy.TESTED),
    ("tensorflow-transform", tensorflow_transform.TESTED),
    ("tensorflow-data-validation", tensorflow_data_validation.TESTED),
]


@pytest.mark.parametrize(("distribution", "version"), TESTED)
def test_locked_version_is_tested(distribution: str, version: str | tuple[str, ...]) -> None:
    assert is_version(distribution, version)


@pytest.mark.parametrize("name", SHORTCUTS)
def test_shortcut_module_exists(name: str) -> None:
    assert _source(name).is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tensorflow_transform.keras_lib", "import tf_keras"),
        ("tensorflow_transform.output_wrapper", "from tensorflow_transform.keras_lib import tf_keras"),
        ("tfx.components", "from tfx.components.evaluator.component import Evaluator"),
        ("tensorflow_model_analysis", "import"),
        ("scipy._lib.array_api_compat._internal", "from {mod.__name__} import *"),
        ("apache_beam.io.mongodbio", "from pymongo import"),
        ("apache_beam.utils.interactive_utils", "from IPython import get_ipython"),
        ("tensorflow_data_validation.utils.display_util", "IPython"),
    ],
)
def test_library_still_imports_skipped_module(name: str, words: str) -> None:
    assert words in _source(name).read_text()


def _source(name: str) -> Path:
    """Returns the file of a module without importing its package."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    assert spec and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *rest)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


# That of Arrow is for any version.
OF_VERSIONS = {name: shortcut for name, shortcut in SHORTCUTS.items() if name != "pyarrow"}


@pytest.mark.parametrize(("name", "shortcut"), OF_VERSIONS.items())
def test_other_version_is_unchanged(name: str, shortcut: Shortcut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[shortcut.__module__], "is_version", lambda *_: False)
    module, seen = ModuleType(name), []

    def execute() -> None:
        seen.append([hidden for hidden in tensorflow.UNNEEDED if sys.modules.get(hidden, module) is None])
        seen.append(sys.stderr)

    before = sys.stderr
    shortcut(module, execute)
    assert seen == [[], before]
    assert type(module) is ModuleType
    assert not hasattr(module, "tf_keras")


def test_tested_version_uses_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tensorflow.UNNEEDED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    hidden: list[str] = []

    def execute() -> None:
        hidden.extend(name for name in tensorflow.UNNEEDED if sys.modules.get(name, sys) is None)

    tensorflow.import_quickly(ModuleType("tensorflow"), execute)
    assert hidden == list(tensorflow.UNNEEDED)


def test_deferred_packages_execute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[Callable[[], None]] = []
    module = ModuleType("tfx.components")
    tfx.import_on_demand(module, lambda: executed.append(lambda: None))
    assert not executed
    monkeypatch.setattr("compat.imports.find_spec", lambda name: None)
    assert not hasattr(module, "no_such_component")
    assert len(executed) == 1
