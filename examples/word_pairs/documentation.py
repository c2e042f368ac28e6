"""Reads the documentation of the installed Python as texts, without running the documented modules.

There are three optional sources:

- Docstrings of the standard library, parsed from its source files.
- Docstrings of C modules, from a fixed list of modules that are safe to import.
- The topics of `help("TOPIC")` (the language reference), from `pydoc_data.topics`.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import sysconfig
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

# Tests, demos and installed packages, and `encodings`, which repeats one sentence a hundred times.
SKIPPED_FOLDERS = frozenset(
    "__pycache__ dist-packages encodings ensurepip idlelib lib-dynload lib2to3 pydoc_data site-packages test tests"
    " turtledemo".split()
)

# C modules without side effects on import. Modules that this Python lacks are skipped.
C_MODULES = tuple(
    "_abc _ast _asyncio _bisect _bz2 _codecs _collections _contextvars _csv _ctypes _curses _datetime _decimal"
    " _elementtree _functools _hashlib _heapq _imp _io _json _locale _lzma _md5 _multiprocessing _operator _pickle"
    " _posixsubprocess _queue _random _sha1 _signal _socket _sqlite3 _sre _ssl _stat _statistics _string _struct"
    " _symtable _thread _tracemalloc _uuid _warnings _weakref _zoneinfo array atexit audioop binascii builtins cmath"
    " errno faulthandler fcntl gc grp itertools marshal math mmap posix pwd pyexpat resource select sys syslog"
    " termios time unicodedata zlib".split()
)

# A `>>>` line and the lines up to the next empty line. Variables of an example are not words about its topic.
_DOCTEST = re.compile(r"^[ \t]*>>>.*\n?(?:[ \t]*\S.*\n?)*", re.MULTILINE)

_Named = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def texts() -> list[str]:
    """Returns every distinct docstring or topic after its name and parameters, in a fixed order."""
    seen: set[str] = set()
    entries = []
    for heading, body in _all_entries():
        if body not in seen:
            seen.add(body)
            entries.append(f"{heading}\n{_DOCTEST.sub('', body)}")
    return entries


def _all_entries() -> Iterator[tuple[str, str]]:
    yield from source_entries(Path(sysconfig.get_path("stdlib")))
    for name in C_MODULES:
        yield from _c_entries(name)
    yield from _topic_entries()


def source_entries(library: Path) -> Iterator[tuple[str, str]]:
    """Yields (heading, docstring) of every module, class and function in the source files of a library."""
    for path in _source_files(library):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings about escapes in literals do not matter here
                tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue  # unreadable, or written for another Python
        yield from _documented(tree, _module_name(path.relative_to(library)))


def _source_files(library: Path) -> list[Path]:
    own = (entry for entry in library.glob("*") if entry.stem in sys.stdlib_module_names)
    files = (file for entry in own for file in ([entry] if entry.suffix == ".py" else entry.rglob("*.py")))
    return sorted(file for file in files if not SKIPPED_FOLDERS.intersection(file.relative_to(library).parts))


def _module_name(path: Path) -> tuple[str, ...]:
    """Returns the public part of a module name: `email/_policybase.py` gives `("email",)`."""
    return tuple(part for part in path.with_suffix("").parts if not part.startswith("_"))


def _documented(node: ast.AST, name: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(node, (ast.Module, *_Named)):
        docstring = ast.get_docstring(node, clean=False)
        if docstring:
            yield " ".join((*name[-3:], *_parameters(node))), docstring
    for child in _statements(node):
        inner = (*name, child.name) if isinstance(child, _Named) else name
        yield from _documented(child, inner)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the statements inside a module, class, function, `if`, `try`, `with` or loop."""
    for block in ("body", "orelse", "handlers", "finalbody"):
        yield from getattr(node, block, ())


def _parameters(node: ast.AST) -> list[str]:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return []
    given = node.args
    several = [parameter for parameter in (given.vararg, given.kwarg) if parameter]
    names = [parameter.arg for parameter in (*given.posonlyargs, *given.args, *given.kwonlyargs, *several)]
    return [name for name in names if name not in ("self", "cls")]


def _c_entries(module_name: str) -> Iterator[tuple[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # `audioop` is deprecated
            module = importlib.import_module(module_name)
    except ImportError:
        return
    public = module_name.lstrip("_")
    if isinstance(module.__doc__, str):
        yield public, module.__doc__
    for name, member in sorted(vars(module).items()):
        if isinstance(member, (type, types.BuiltinFunctionType)):
            yield from _c_member_entries(f"{public} {name}", member)


def _c_member_entries(heading: str, member: object) -> Iterator[tuple[str, str]]:
    if isinstance(member.__doc__, str):
        yield heading, member.__doc__
    for name, attribute in sorted(vars(member).items()) if isinstance(member, type) else ():
        described = callable(attribute) or hasattr(attribute, "__get__")
        if described and isinstance(attribute.__doc__, str):
            yield f"{heading} {name}", attribute.__doc__


def _topic_entries() -> Iterator[tuple[str, str]]:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:  # missing in some small installations
        return
    yield from sorted(topics.items())
