"""A check, and the fixes that several checks suggest."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The folder of this program's packages: the repository, or where the wheel is installed."""

LOCK = ROOT / "uv.lock"


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Args:
      name: what was checked.
      ok: whether it is as a run needs it.
      found: what was found.
      fix: what to do if it is not ok, in one sentence.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def install_again() -> str:
    """Returns how to get the libraries that the lock names."""
    if LOCK.is_file():
        return "Remove .venv and run `make doctor`, which makes it again from the lock."
    return "Install Kindred again in a new virtual environment, with the locked versions of its libraries."


def restore_code() -> str:
    """Returns how to get this program's own files back."""
    if LOCK.is_file():
        return f"Fix the file, or restore it: `git -C {shlex.quote(os.path.relpath(ROOT))} status` shows what changed."
    return "Install Kindred again: `pip install --force-reinstall --no-deps WHEEL`."


def repair_libraries() -> str:
    """Returns how to make two TFX modules load with an older C library."""
    return f"Run `{shlex.quote(sys.executable)} -m bootstrap.glibc`."
