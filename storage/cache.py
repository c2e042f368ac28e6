"""The folder of the user for copies of objects that can be downloaded again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = "KINDRED_CACHE"
"""Variable with the folder. The default is `kindred` in `XDG_CACHE_HOME`, which is `~/.cache` if it is not set."""


def cache_folder() -> Path:
    """Returns the folder. It may not exist."""
    if named := os.environ.get(CACHE):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~"), ".cache"), "kindred").absolute()
