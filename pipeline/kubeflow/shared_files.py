"""Makes directories of artifacts writable for the group of a task. Importing this module imports TFX.

Tasks of one root may run as different users. For example, a component has another `run_as_user`, or a volume moves to a
cluster that chooses users. TensorFlow ignores the umask and gives mode 755 to directories (CreateDir in
tensorflow/tsl/platform/default/posix_file_system.cc, 2.21), so the next user could not write there.
"""

from __future__ import annotations

import os

from tfx.dsl.io import filesystem
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem

_BEFORE_TENSORFLOW = 0


class SharedFilesystem(TensorflowFilesystem):
    """TFX's access to local files, with directories that respect the umask."""

    SUPPORTED_SCHEMES = [""]

    @staticmethod
    def makedirs(path: filesystem.PathType) -> None:
        """Creates a directory and its parents, unless they exist."""
        os.makedirs(path, exist_ok=True)

    @staticmethod
    def mkdir(path: filesystem.PathType) -> None:
        """Creates a directory."""
        try:
            os.mkdir(path)
        except FileNotFoundError as error:
            raise filesystem.NotFoundError from error


def share_directories() -> None:
    """Makes TFX create local directories with the umask of this process, from now on."""
    DEFAULT_FILESYSTEM_REGISTRY.register(SharedFilesystem, priority=_BEFORE_TENSORFLOW)
