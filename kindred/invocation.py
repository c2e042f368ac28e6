"""Detects how this program was started, so that printed commands work as typed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def command(*words: object) -> str:
    """Returns a `kindred` command line that works in the current directory.

    Args:
      words: the arguments of `kindred`. They are quoted for a shell if necessary.

    Returns:
      For example, `kindred report` if kindred is on PATH, and `.venv/bin/kindred report` in a repository.
    """
    return shlex.join([*_program(), *map(str, words)])


def typed_path(path: str | os.PathLike[str]) -> str:
    """Returns `path` for a command line: relative if it is below the current directory, otherwise absolute.

    A task of a cluster always prints absolute paths, because its paths are on a volume.
    """
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith(os.pardir) else relative


def is_task() -> bool:
    """Returns whether this process is a task on Kubeflow, whose user runs commands elsewhere."""
    return Path(sys.argv[0]).parts[-3:-1] == ("pipeline", "kubeflow")


def _program() -> list[str]:
    if is_task():
        # The image has `kindred` on PATH.
        return ["kindred"]
    started = Path(sys.argv[0])
    if (started.parent.name, started.name) == ("kindred", "__main__.py"):
        return [_typed_program(Path(sys.executable)), "-m", "kindred"]
    # The examples also print commands. The script is next to their Python.
    is_script = started.name == "kindred" and os.sep in sys.argv[0]
    script = started if is_script else Path(sys.executable).with_name("kindred")
    on_path = shutil.which("kindred")
    if sys.argv[0] == "kindred" or not script.is_file() or (on_path and os.path.samefile(on_path, script)):
        return ["kindred"]
    return [_typed_program(script)]


def _typed_program(path: Path) -> str:
    """Returns the path of a program for a shell, which searches PATH for a name without a separator."""
    typed = typed_path(path)
    return typed if os.sep in typed else os.path.join(os.curdir, typed)
