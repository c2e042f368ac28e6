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
      name: the name of the check.
      ok: whether it passed.
      found: the observed state.
      fix: the fix of a failed check, in one sentence.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def install_again() -> str:
    """Returns how to install the locked libraries."""
    if LOCK.is_file():
        return "Remove .venv and run `make doctor`, which creates it from the lock."
    return "Install Kindred again in a new virtual environment, with the locked versions of its libraries."


def restore_code() -> str:
    """Returns how to restore this program's own files."""
    if LOCK.is_file():
        return f"Fix the file, or restore it: `git -C {shlex.quote(os.path.relpath(ROOT))} status` shows what changed."
    return "Install Kindred again: `pip install --force-reinstall --no-deps WHEEL`."


def repair_libraries() -> str:
    """Returns how to repair two TFX modules for an older C library."""
    return f"Run `{shlex.quote(sys.executable)} -m bootstrap.glibc`."
