"""Import shortcuts, on packages that the tests create."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from compat.imports import Shortcuts, execute_later, is_version, without, without_garbage_collection


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that tries an optional module and imports all of its own modules."""
    folder = tmp_path / "made_for_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "try:\n    import colorsys\nexcept ImportError:\n    colorsys = None\nfrom made_for_test.heavy import ANSWER\n"
    )
    (folder / "heavy.py").write_text("ANSWER = 42\n")
    (folder / "light.py").write_text("NAME = 'light'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    for name in [name for name in sys.modules if name.startswith(("made_for_test", "colorsys"))]:
        monkeypatch.delitem(sys.modules, name)
    yield "made_for_test"
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.startswith("made_for_test")]:
        del sys.modules[name]


def test_shortcut_runs_around_the_import(package: str) -> None:
    def hide(module: ModuleType, execute: Callable[[], None]) -> None:
        assert not hasattr(module, "ANSWER")
        assert not gc.isenabled()
        with without("colorsys"):
            execute()

    sys.meta_path.insert(0, Shortcuts({package: hide}))
    module = importlib.import_module(package)
    assert (module.ANSWER, module.colorsys) == (42, None)
    assert gc.isenabled()
    assert importlib.import_module("colorsys").rgb_to_hsv
    # The module has the same attributes as after a plain import.
    assert module.__spec__ and module.__spec__.loader is module.__loader__
    assert type(module.__loader__).__module__.startswith("_frozen_importlib")


def test_other_modules_are_left_alone(package: str) -> None:
    sys.meta_path.insert(0, Shortcuts({"no_such_module": lambda module, execute: execute()}))
    assert importlib.import_module(f"{package}.light").NAME == "light"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module")


def test_deferred_package_executes_on_attribute_access(package: str) -> None:
    sys.meta_path.insert(0, Shortcuts({package: execute_later}))
    assert importlib.import_module(f"{package}.light").NAME == "light"
    module = sys.modules[package]
    assert f"{package}.heavy" not in sys.modules
    assert not hasattr(module, "__no_such_name__")
    assert module.heavy.ANSWER == 42, "a submodule is imported without the package"
    assert "colorsys" not in vars(module)
    assert (module.ANSWER, type(module)) == (42, ModuleType)
    assert not hasattr(module, "no_such_name")


def test_failed_import_can_be_repeated(package: str) -> None:
    attempts: list[str] = []

    def fail_once(module: ModuleType, execute: Callable[[], None]) -> None:
        attempts.append(module.__name__)
        if len(attempts) == 1:
            raise OSError("disk")
        execute()

    sys.meta_path.insert(0, Shortcuts({package: fail_once}))
    with pytest.raises(OSError, match="disk"):
        importlib.import_module(package)
    assert gc.isenabled()
    assert importlib.import_module(package).ANSWER == 42


def test_imported_modules_stay_visible() -> None:
    with without("json", "no_such_module"):
        assert importlib.import_module("json").loads("1") == 1
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("no_such_module")
    assert "no_such_module" not in sys.modules


def test_disabled_garbage_collection_stays_disabled() -> None:
    gc.disable()
    try:
        with without_garbage_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_missing_distribution_has_no_tested_version() -> None:
    assert not is_version("no-such-distribution", "1.")
    assert is_version("pytest", "")
