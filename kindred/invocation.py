"""How this program was started, so that the commands it prints work as typed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def command(*words: object) -> str:
    """Returns a `kindred` command that a person can type in the current directory.

    Args:
      words: what follows `kindred`, each one word. They are quoted for a shell where that is necessary.

    Returns:
      For example, `kindred report` if kindred is on PATH, and `.venv/bin/kindred report` in a repository.
    """
    return shlex.join([*_program(), *map(str, words)])


def typed_path(path: str | os.PathLike[str]) -> str:
    """Returns how to type `path`: from the current directory if it is below it, otherwise in full.

    A task of a cluster prints paths for people in other directories. What it prints is on a volume, so it is in full.
    """
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith(os.pardir) else relative


def _program() -> list[str]:
    started = Path(sys.argv[0])
    if started.parts[-3:-1] == ("pipeline", "kubeflow"):
        # A task of a cluster. Its reader has another environment, and the image has `kindred` on PATH.
        return ["kindred"]
    if (started.parent.name, started.name) == ("kindred", "__main__.py"):
        return [_typed_program(Path(sys.executable)), "-m", "kindred"]
    # Other programs of ours, such as the examples, print commands too. The script is next to their Python.
    is_script = started.name == "kindred" and os.sep in sys.argv[0]
    script = started if is_script else Path(sys.executable).with_name("kindred")
    on_path = shutil.which("kindred")
    if sys.argv[0] == "kindred" or not script.is_file() or (on_path and os.path.samefile(on_path, script)):
        return ["kindred"]
    return [_typed_program(script)]


def _typed_program(path: Path) -> str:
    """How to type the path of a program: a shell looks for a name without a separator on PATH."""
    typed = typed_path(path)
    return typed if os.sep in typed else os.path.join(os.curdir, typed)
