"""The entry points of the commands. They check first that Python finds this program's own packages.

The packages have common names. Another `pipeline` in a directory of PYTHONPATH would hide ours, and the import would
fail with a misleading traceback.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from kindred import PACKAGES
from kindred.terminal import say

_INTERRUPTED = 130  # 128 plus the number of SIGINT, as shells do


def main() -> None:
    """Runs the command `kindred`."""
    _require_own_packages()
    try:
        from compat.leaving import leave_quickly

        leave = leave_quickly()
        from pipeline.cli import main as run

        run()
    except SystemExit as end:
        if isinstance(end.code, int):
            leave(end.code)
        raise
    except KeyboardInterrupt:  # during an import. A run has its own handling
        print("interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def serve_models() -> None:
    """Runs the command `kindred-model-server`."""
    _require_own_packages()
    from serving.model_server.main import main as run

    run()


def _require_own_packages() -> None:
    """Exits with a message and exit code 2 if Python would import foreign packages with our names."""
    if problem := hidden_package():
        say(f"error: {problem}", err=True)
        sys.exit(2)


def hidden_package() -> str | None:
    """Returns why Python would not import one of our packages, and what to do. None if it imports them all."""
    folder = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        found = _location(name)
        if found is None:
            return f"{folder / name} is missing. Install Kindred again."
        if found != folder / name:
            return (
                f"{found} hides the package {name} of Kindred, because Python looks in {found.parent} first. "
                f"Rename it, remove that directory from PYTHONPATH, or start in another directory."
            )
    return None


def _location(package: str) -> Path | None:
    """Returns the directory or module file that Python would import as `package`."""
    spec = find_spec(package)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
