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


def _program() -> list[str]:
    started = Path(sys.argv[0])
    if (started.parent.name, started.name) == ("kindred", "__main__.py"):
        return [_typed(Path(sys.executable)), "-m", "kindred"]
    # Other programs of ours, such as the examples, print commands too. The script is next to their Python.
    is_script = started.name == "kindred" and os.sep in sys.argv[0]
    script = started if is_script else Path(sys.executable).with_name("kindred")
    on_path = shutil.which("kindred")
    if sys.argv[0] == "kindred" or not script.is_file() or (on_path and os.path.samefile(on_path, script)):
        return ["kindred"]
    return [_typed(script)]


def _typed(path: Path) -> str:
    """How to type `path`: from the current directory if it is below it, otherwise in full."""
    relative = os.path.relpath(path)
    if relative.startswith(os.pardir):
        return os.path.abspath(path)
    return relative if os.sep in relative else os.path.join(os.curdir, relative)
