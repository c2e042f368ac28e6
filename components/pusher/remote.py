"""Versions behind a URL that TensorFlow reads and writes, such as gs://bucket/models.

An object store has no rename: a folder is the common prefix of its files. Publishing copies `saved_model.pb` last, so
that TensorFlow Serving does not load an incomplete version. It copies the manifest earlier, so that a version with a
`saved_model.pb` is complete. Publishers reserve a number with a claim, a file that names the owner of the number.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid

import tensorflow as tf

from components.pusher.versions import Versions
from kindred.manifest import CARD, MANIFEST, Manifest, model_digests, parse_manifest

_GRAPH = "saved_model.pb"
_CLAIM = ".claim-{}-"
_CLAIM_SECONDS = 0.2


class RemoteVersions(Versions):
    """Versions behind a URL. A folder without `saved_model.pb` is not a version."""

    def publish(self, model: str, card: str | None = None) -> int:
        """Publishes a version as described in `Versions`, and copies the graph last.

        Raises:
          tf.errors.OpError: the version cannot be written.
        """
        tf.io.gfile.makedirs(self.directory)
        version, claim = self._claim_number()
        try:
            target = self._path(str(version))
            digests = model_digests(model)
            for name in sorted(set(digests) - {_GRAPH}):
                _copy(os.path.join(model, name), tf.io.gfile.join(target, name))
            _write(tf.io.gfile.join(target, MANIFEST), Manifest(digests, self._pipeline).to_json())
            if card:
                _copy(card, tf.io.gfile.join(target, CARD))
            _copy(os.path.join(model, _GRAPH), tf.io.gfile.join(target, _GRAPH))
        finally:
            tf.io.gfile.remove(claim)
        return version

    def _claim_number(self) -> tuple[int, str]:
        """Returns a free number and its claim file. Among several claims, the first by name wins."""
        mine = uuid.uuid4().hex
        while True:
            taken = [int(name) for name in self._names() if name.isdecimal()] + self.withdrawn()
            number = max(taken, default=0) + 1
            prefix = _CLAIM.format(number)
            claim = self._path(prefix + mine)
            _write(claim, "")
            time.sleep(_CLAIM_SECONDS)  # publishers that did not see this claim have written their own by now
            names = self._names()
            claims = sorted(name for name in names if name.startswith(prefix))
            if claims[0] == prefix + mine and str(number) not in names:
                return number, claim
            tf.io.gfile.remove(claim)
            time.sleep(_CLAIM_SECONDS)

    def _path(self, name: str) -> str:
        return str(tf.io.gfile.join(self.directory, name))

    def _names(self) -> list[str]:
        if not tf.io.gfile.isdir(self.directory):
            return []
        return sorted({name.rstrip("/").split("/")[0] for name in tf.io.gfile.listdir(self.directory)})

    def _is_whole(self, name: str) -> bool:
        return bool(tf.io.gfile.exists(tf.io.gfile.join(self.directory, name, _GRAPH)))

    def _manifest(self, name: str) -> Manifest | None:
        try:
            with tf.io.gfile.GFile(tf.io.gfile.join(self.directory, name, MANIFEST)) as source:
                return parse_manifest(source.read())
        except (tf.errors.OpError, ValueError):
            return None

    def _move(self, name: str, target: str) -> None:
        """Copies all files, the graph last, then removes the source, the graph first."""
        source = self._path(name)
        for file in sorted(files_below(source), key=lambda file: (file == _GRAPH, file)):
            _copy(tf.io.gfile.join(source, file), tf.io.gfile.join(self.directory, target, file))
        self._remove(name)

    def _remove(self, name: str) -> None:
        """Removes the graph first, so that an incomplete folder is not a version."""
        folder = self._path(name)
        for file in sorted(files_below(folder), key=lambda file: (file != _GRAPH, file)):
            tf.io.gfile.remove(tf.io.gfile.join(folder, file))
        # Real folders can remain, empty.
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.rmtree(folder)


def files_below(folder: str) -> list[str]:
    """Returns every file below `folder` by its relative path."""
    paths = (tf.io.gfile.join(place, name) for place, _, names in tf.io.gfile.walk(folder) for name in names)
    # Some file systems also list `assets.extra` as `.extra` in `assets`.
    return [os.path.relpath(path, folder) for path in paths if tf.io.gfile.exists(path)]


def _copy(source: str, target: str) -> None:
    tf.io.gfile.makedirs(os.path.dirname(target))
    tf.io.gfile.copy(source, target, overwrite=True)


def _write(path: str, text: str) -> None:
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as out:
        out.write(text)
