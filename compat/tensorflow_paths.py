"""Paths that TensorFlow takes literally.

Versions: every tensorflow up to 2.21.

Reason: the kernel of RestoreV2 and `checkpoint_exists` look for a checkpoint with `Env::GetMatchingPaths`, which reads
`[1]`, `*`, `?` and a backslash in a folder name as a pattern. A SavedModel in such a folder is not found.

Fallback: a path without these characters, and a URL, is returned as it is.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile

_PATTERN = frozenset("*?[]\\")


def literal(path: str) -> str:
    """Returns a path of the same local folder that TensorFlow does not read as a pattern.

    Args:
      path: a folder, or a URL.

    Returns:
      `path`, or a symbolic link to it. The link stays until the process ends, because a loaded model copies its assets
        from there when it is exported again.
    """
    if "://" in path or not _PATTERN & set(path):
        return path
    return _link(os.path.abspath(path))


@functools.cache
def _link(path: str) -> str:
    link = os.path.join(_folder(), str(len(os.listdir(_folder()))))
    os.symlink(path, link)
    return link


@functools.cache
def _folder() -> str:
    folder = tempfile.mkdtemp(prefix="kindred-paths-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
