"""Digests of this program's code: the files that a class or function imports, directly or indirectly.

Reads imports from the source text. Importing every executor would take seconds.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from compat.distributions import version
from kindred import PACKAGES

LIBRARIES = (
    "apache-beam",
    "cityhash",
    "keras",
    "numpy",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "tensorflow-data-validation",
    "tensorflow-transform",
    "tfx",
    "tfx-bsl",
)
"""The libraries that compute the outputs of nodes."""

PROGRAMS = {"kindred-model-server": "serving.model_server.main"}
"""Programs that modules start by name, and the module that each runs."""

_COMMENT = re.compile(r"#.*")
# Only annotations use these imports. They never run, so they cannot change the result of a node.
_TYPES_ONLY = re.compile(r"^if (?:typing\.)?TYPE_CHECKING:\n(?:[ \t]+.*\n|[ \t]*\n)+", re.MULTILINE)
_IMPORT = re.compile(r"import\b")
_IMPORTED = re.compile(r"[ \t]*(\([^)]*\)|[^\n;]*)")
_BEFORE_IMPORT = re.compile(r"(?:^|[;:])[ \t]*(?:from[ \t]*(\.*)[ \t]*([\w.]*)[ \t]+)?$")
_ALIAS = re.compile(r"\bas\s+\w+")
_NAME = re.compile(r"[\w.]+")
_QUOTED = re.compile(rf"""["']((?:{"|".join(PACKAGES)})(?:\.\w+)+|{"|".join(PROGRAMS)})["']""")
_NO_DATA = (".md", ".pyc", ".pyi", ".typed")


class SourceTree:
    """The source files of this program in a folder, at the time of first access.

    Args:
      folder: the folder of the packages.

    Example: `this_program().digest(["trainer.run_fn.run_fn"])` returns a digest such as "0f3a9c2b7d1e4856".
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, list[Path]] = {}
        for name in PACKAGES:
            if (folder / name).is_dir():
                self._files |= _files_of(folder / name, name)
        self._imports: dict[str, frozenset[str]] = {}
        self._contents: dict[str, str] = {}

    @property
    def modules(self) -> list[str]:
        """The names of all modules and packages with a source file, except programs (`__main__`)."""
        names = (name for name, files in self._files.items() if any(file.suffix == ".py" for file in files))
        return sorted(name for name in names if not name.endswith(".__main__"))

    def digest(self, names: Iterable[str]) -> str:
        """Digests the files behind `names`, and the versions of the libraries.

        Args:
          names: dotted names of modules, classes or functions. Names outside this program are ignored.

        Returns:
          16 hexadecimal digits.
        """
        digest = hashlib.sha256(repr(library_versions()).encode())
        for module in sorted(self.closure(names)):
            digest.update(f"{module} {self._content(module)}\n".encode())
        return digest.hexdigest()[:16]

    def closure(self, names: Iterable[str]) -> set[str]:
        """Returns the names of all modules and packages that `names` import, directly or indirectly."""
        found: set[str] = set()
        waiting = {module for name in names for module in self._modules_of(name)}
        while waiting:
            module = waiting.pop()
            found.add(module)
            waiting |= self.imports(module) - found
        return found

    def imports(self, module: str) -> frozenset[str]:
        """Returns the modules of this program that `module` imports or names in a string."""
        if module not in self._imports:
            names: set[str] = set()
            for source in self._files[module]:
                if source.suffix == ".py":
                    text = source.read_text(encoding="utf-8")
                    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
                    names.update(_imported(text, package))
                    names.update(PROGRAMS.get(name, name) for name in _QUOTED.findall(text))
            self._imports[module] = frozenset(found for name in names for found in self._modules_of(name))
        return self._imports[module]

    def _modules_of(self, name: str) -> Iterator[str]:
        """Yields the packages of `name` and its module. Yields nothing for names outside this program."""
        module = ""
        for part in name.split("."):
            module = f"{module}.{part}" if module else part
            if module not in self._files:
                return
            yield module

    def _content(self, module: str) -> str:
        if module not in self._contents:
            digest = hashlib.sha256()
            for file in self._files[module]:
                content = file.read_bytes()
                digest.update(f"{file.name} {len(content)}\n".encode() + content)
            self._contents[module] = digest.hexdigest()
        return self._contents[module]


def _files_of(folder: Path, package: str) -> dict[str, list[Path]]:
    """Returns the files of each module in `folder`. A package has its `__init__.py` and its data files.

    A folder without `__init__.py`, such as one of templates, belongs to its parent package.
    """
    files: dict[str, list[Path]] = {package: []}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path, name = Path(entry.path), entry.name
        if name.startswith((".", "__pycache__")):
            continue
        if entry.is_dir():
            inner = _files_of(path, f"{package}.{name}")
            files |= inner
            if not (path / "__init__.py").is_file():
                files[package] += inner[f"{package}.{name}"]
        elif path.suffix == ".py" and name != "__init__.py":
            files[f"{package}.{path.stem}"] = [path]
        elif path.suffix not in _NO_DATA:
            files[package].append(path)
    return files


def _imported(text: str, package: str) -> Iterator[str]:
    """Yields the names that the source `text` of a module in `package` may import. Some are not modules."""
    text = _TYPES_ONLY.sub("", _COMMENT.sub("", text)).replace("\\\n", " ")
    for statement in _IMPORT.finditer(text):
        line = text.rfind("\n", 0, statement.start()) + 1
        before = _BEFORE_IMPORT.search(text[line : statement.start()])
        if before is None:
            continue
        listed = _IMPORTED.match(text, statement.end())
        names = _NAME.findall(_ALIAS.sub("", listed[0])) if listed else []
        dots, origin = before.groups()
        if origin is None:  # import a, b
            yield from names
            continue
        around = package.rsplit(".", len(dots) - 1)[0] if dots else ""
        base = ".".join(filter(None, (around, origin)))
        yield base
        yield from (f"{base}.{name}" for name in names)


@functools.cache
def library_versions() -> tuple[tuple[str, str], ...]:
    """Returns the installed version of each of `LIBRARIES`, or an empty string if it is not installed."""
    return tuple((name, _version(name)) for name in LIBRARIES)


def _version(name: str) -> str:
    try:
        return version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def this_program() -> SourceTree:
    """Returns the source files of this process."""
    return SourceTree(Path(__file__).resolve().parents[2])
