"""The version of a package that is published under several names.

Versions: every tensorflow up to 2.21.

Reason: TensorFlow for CPUs is the distribution `tensorflow-cpu`. It installs the same package as `tensorflow`, and the
images of deploy/Dockerfile contain it.

Fallback: any other name is looked up as it is.
"""

from __future__ import annotations

import importlib.metadata

BUILDS = {"tensorflow": "tensorflow-cpu"}
"""Another distribution of the same package, by the name of the first."""


def version(name: str) -> str:
    """Returns the installed version of a distribution, or of another build of it.

    Raises:
      importlib.metadata.PackageNotFoundError: neither is installed.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if name not in BUILDS:
            raise
        return importlib.metadata.version(BUILDS[name])
