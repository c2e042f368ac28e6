"""Reports the versions of a Beam worker before it gets work. Runs on the worker, so its imports are light."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform

from compat.distributions import version

_PACKAGES = ("kindred", "apache-beam", "pyarrow", "tensorflow", "tfx", "tfx-bsl", "tensorflow-transform")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages in pickled steps. Missing packages are absent."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = version(name)
    return found


def look(number: int, folder: str) -> None:
    """Writes the `versions` of this worker into `folder`, which the run reads if both share a file system.

    Raises:
      FileNotFoundError: `folder` does not exist on the worker.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} of the run does not exist on its workers. Put --root on a shared volume")
    path = os.path.join(folder, f"{number}.json")
    with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as staged:
        json.dump(versions(), staged)
    os.replace(staged.name, path)
