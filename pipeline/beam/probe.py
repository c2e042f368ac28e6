"""What a Beam worker says of itself before it is given work: runs on the worker, so it imports nothing heavy."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform

_PACKAGES = ("kindred", "apache-beam", "pyarrow", "tensorflow", "tfx", "tfx-bsl", "tensorflow-transform")


def versions() -> dict[str, str]:
    """Python and the packages that a pickled step relies on; those that are not here are absent."""
    installed = {name: list(importlib.metadata.distributions(name=name)) for name in _PACKAGES}
    found = {name: distributions[0].version for name, distributions in installed.items() if distributions}
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **found}


def look(number: int, folder: str) -> None:
    """Writes `versions` of this worker into `folder`, which the run sees too if the two share a file system.

    Raises:
      FileNotFoundError: `folder` is not here.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} of the run is not there for its workers; put --root on a volume of both")
    path = os.path.join(folder, f"{number}.json")
    with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as staged:
        json.dump(versions(), staged)
    os.replace(staged.name, path)
