"""The imports of this program's files as Python's own parser sees them: the oracle of tests of digests."""

from __future__ import annotations

import ast
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

from kindred import PACKAGES

REPOSITORY = Path(__file__).resolve().parents[1]


def copy_of_the_program(folder: Path) -> Path:
    """Copies all packages to `folder`, without what Python and tools leave there."""
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


def file_of(folder: Path, module: str) -> Path | None:
    base = folder.joinpath(*module.split("."))
    return next((path for path in (base.with_name(f"{base.name}.py"), base / "__init__.py") if path.is_file()), None)


def modules(folder: Path) -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((folder / package).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports(folder: Path, module: str) -> frozenset[str]:
    """The modules of this program that `module` names in import statements, outside `if TYPE_CHECKING`."""
    path = file_of(folder, module)
    assert path
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names: set[str] = set()
    for statement in _statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            names.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            around = package[: len(package) + 1 - statement.level] if statement.level else []
            base = ".".join([*around, *filter(None, [statement.module])])
            names.update((base, *(f"{base}.{alias.name}" for alias in statement.names)))
    return frozenset(name for name in names if name.split(".")[0] in PACKAGES and file_of(folder, name))


def _statements(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from _statements(statement.orelse)
        else:
            yield from ast.walk(statement)


def distances(folder: Path, names: list[str]) -> dict[str, int]:
    """How many imports each module is away from the modules that `names` are in. Packages on the way do not count."""
    waiting = [(_module_of(folder, name), 0) for name in names if name.split(".")[0] in PACKAGES]
    found: dict[str, int] = {}
    while waiting:
        module, distance = waiting.pop(0)
        if module not in found:
            found[module] = distance
            waiting += [(imported, distance + 1) for imported in sorted(imports(folder, module))]
    return found


def _module_of(folder: Path, name: str) -> str:
    while not file_of(folder, name):
        name = name.rpartition(".")[0]
    return name
