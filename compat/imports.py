"""Python's import system: runs code around the import of a library.

A shortcut is a function of the empty module and of the function that executes it. It may execute the module inside a
context, execute it later, or fill the module in another way. Python documents finders on `sys.meta_path` for this.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from compat.distributions import version

Shortcut = Callable[[ModuleType, Callable[[], None]], None]


class Shortcuts(MetaPathFinder):
    """Finds the modules that have a shortcut.

    Args:
      shortcuts: a shortcut for each module name.
    """

    def __init__(self, shortcuts: Mapping[str, Shortcut]) -> None:
        self._shortcuts = shortcuts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the specification of a module with a shortcut, or None for other modules."""
        shortcut = self._shortcuts.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if shortcut else None
        if shortcut and spec and spec.loader:
            spec.loader = _ShortcutLoader(spec.loader, shortcut)
        return spec


class _ShortcutLoader(Loader):
    """Executes a module by its shortcut. Afterwards the module has its own loader again."""

    def __init__(self, loader: Loader, shortcut: Shortcut) -> None:
        self._loader = loader
        self._shortcut = shortcut

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The empty module."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Fills the module."""
        assert module.__spec__
        module.__spec__.loader = module.__loader__ = self._loader
        with without_garbage_collection():
            self._shortcut(module, lambda: self._loader.exec_module(module))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def is_version(distribution: str, tested: str | tuple[str, ...]) -> bool:
    """Returns whether the installed version of `distribution` starts with `tested`, such as `2.21.`."""
    try:
        return version(distribution).startswith(tested)
    except importlib.metadata.PackageNotFoundError:
        return False


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Hides the modules `names` inside the block, as if they were not installed. Imported modules stay visible."""
    hidden = [name for name in names if name not in sys.modules]
    # The import system treats None as "not installed".
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Disables garbage collection inside the block, then freezes existing objects so that they are never scanned.

    Modules are never garbage, and a collection scans all of them, many times while a large library is imported.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def execute_later(module: ModuleType, execute: Callable[[], None]) -> None:
    """A shortcut for a package whose `__init__` imports all of its modules.

    Modules can be imported from the package one by one. Its `__init__` runs when code accesses a name of the package
    that is not one of its modules.
    """
    module.__class__ = _Deferred
    vars(module)["_execute"] = execute


class _Deferred(ModuleType):
    """A package whose `__init__` has not run yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        execute = vars(self).pop("_execute")
        self.__class__ = ModuleType  # type: ignore[assignment]
        execute()
        return getattr(self, name)
