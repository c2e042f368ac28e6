"""The functions of `publish.py` for directories behind a URL that TensorFlow reads and writes: gs://bucket/models.

An object store has no rename: a folder is the prefix of its files. A version is copied with `saved_model.pb` last, so
that whoever looks sees none or, for a moment, one that TensorFlow Serving does not load; its manifest comes before, so
that a version with a `saved_model.pb` is whole. Publishers take turns by a claim, a file that names a number's owner.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import uuid

import tensorflow as tf

from components.pusher.manifest import CARD, MANIFEST, file_digests

_GRAPH = "saved_model.pb"
_WITHDRAWN = re.compile(r"\.withdrawn-([0-9]+)")
_CLAIM = ".claim-{}-"
_CLAIM_SECONDS = 0.2


def versions(directory: str) -> list[int]:
    """The published versions in `directory`, oldest first."""
    return sorted(int(name) for name in _names(directory) if name.isdecimal() and _whole(directory, name))


def withdrawn(directory: str) -> list[int]:
    """The versions that were withdrawn from `directory`, oldest first."""
    return sorted(int(match.group(1)) for name in _names(directory) if (match := _WITHDRAWN.fullmatch(name)))


def publish(model: str, directory: str, card: str | None = None) -> int:
    """Copies the local SavedModel `model`, and the local file `card` about it, into `directory` as the next version.

    Returns:
      The version.

    Raises:
      tf.errors.OpError: it cannot be written.
    """
    tf.io.gfile.makedirs(directory)
    version, claim = _claim_number(directory)
    try:
        target = tf.io.gfile.join(directory, str(version))
        digests = file_digests(model)
        for name in sorted(set(digests) - {_GRAPH}):
            _copy(os.path.join(model, name), tf.io.gfile.join(target, name))
        _write(tf.io.gfile.join(target, MANIFEST), json.dumps(digests, indent=1))
        if card:
            _copy(card, tf.io.gfile.join(target, CARD))
        _copy(os.path.join(model, _GRAPH), tf.io.gfile.join(target, _GRAPH))
    finally:
        tf.io.gfile.remove(claim)
    return version


def _claim_number(directory: str) -> tuple[int, str]:
    """A number that no other publisher has, and the file that says so: of several claims the first by name holds."""
    mine = uuid.uuid4().hex
    while True:
        names = _names(directory)
        taken = [int(name) for name in names if name.isdecimal()] + withdrawn(directory)
        number = max(taken, default=0) + 1
        prefix = _CLAIM.format(number)
        claim = tf.io.gfile.join(directory, prefix + mine)
        _write(claim, "")
        time.sleep(_CLAIM_SECONDS)  # whoever looked before this claim was there has written his own by now
        names = _names(directory)
        claims = sorted(name for name in names if name.startswith(prefix))
        if claims[0] == prefix + mine and str(number) not in names:
            return number, claim
        tf.io.gfile.remove(claim)
        time.sleep(_CLAIM_SECONDS)


def newest_if_same(model: str, directory: str) -> int | None:
    """The newest version in `directory` if it was published from the very files of `model`, else None."""
    newest = max(versions(directory), default=None)
    if newest is None or _manifest(directory, str(newest)) != file_digests(model):
        return None
    return newest


def withdrawn_if_same(model: str, directory: str) -> int | None:
    """The withdrawn version that was published from the very files of `model`, else None."""
    digests = file_digests(model)
    same = (n for n in withdrawn(directory) if _manifest(directory, f".withdrawn-{n}") == digests)
    return next(same, None)


def withdraw(directory: str) -> tuple[int, int]:
    """As `publish.withdraw`: the version withdrawn, and that which is served now.

    Raises:
      LookupError: there are fewer than two versions.
    """
    found = versions(directory)
    if len(found) < 2:
        raise LookupError(f"{directory} holds {len(found)} version(s); there is no earlier one to serve")
    _move(directory, str(found[-1]), f".withdrawn-{found[-1]}")
    return found[-1], found[-2]


def restore(directory: str) -> tuple[int, int | None]:
    """As `publish.restore`: the version served again, and that which was served before.

    Raises:
      LookupError: none was withdrawn, or a newer one was published since.
    """
    taken, found = withdrawn(directory), versions(directory)
    if not taken:
        raise LookupError(f"{directory} holds no version that was withdrawn")
    if found and found[-1] > taken[-1]:
        raise LookupError(f"{directory}: version {found[-1]} was published after {taken[-1]} was withdrawn")
    version = min(number for number in taken if not found or number > found[-1])
    _move(directory, f".withdrawn-{version}", str(version))
    return version, found[-1] if found else None


def retire(directory: str, keep: int) -> None:
    """Removes all but the `keep` newest versions, each its graph first, and older withdrawn ones."""
    found = versions(directory)
    kept = found[-keep:]
    old = [str(version) for version in found[:-keep]]
    old += [f".withdrawn-{version}" for version in withdrawn(directory) if kept and version < kept[0]]
    for name in old:
        _remove(tf.io.gfile.join(directory, name))


def _names(directory: str) -> list[str]:
    if not tf.io.gfile.isdir(directory):
        return []
    return sorted({name.rstrip("/").split("/")[0] for name in tf.io.gfile.listdir(directory)})


def _whole(directory: str, name: str) -> bool:
    return bool(tf.io.gfile.exists(tf.io.gfile.join(directory, name, _GRAPH)))


def _manifest(directory: str, name: str) -> dict[str, str] | None:
    path = tf.io.gfile.join(directory, name, MANIFEST)
    try:
        with tf.io.gfile.GFile(path) as source:
            digests: dict[str, str] = json.loads(source.read())
    except (tf.errors.OpError, ValueError):
        return None
    return digests


def _move(directory: str, name: str, target: str) -> None:
    """Copies file by file, the graph last, then removes the source, the graph first."""
    source = tf.io.gfile.join(directory, name)
    for file in sorted(files_below(source), key=lambda file: (file == _GRAPH, file)):
        _copy(tf.io.gfile.join(source, file), tf.io.gfile.join(directory, target, file))
    _remove(source)


def files_below(folder: str) -> list[str]:
    """Every file below `folder`, by its path from there."""
    found = (tf.io.gfile.join(place, name) for place, _, names in tf.io.gfile.walk(folder) for name in names)
    # Some file systems list `assets.extra` also as `.extra` in `assets`.
    return [os.path.relpath(path, folder) for path in found if tf.io.gfile.exists(path)]


def _remove(folder: str) -> None:
    """Removes a version, its graph first: what is left for a moment is no version."""
    for file in sorted(files_below(folder), key=lambda file: (file != _GRAPH, file)):
        tf.io.gfile.remove(tf.io.gfile.join(folder, file))
    # Where folders are more than prefixes they are left, empty.
    with contextlib.suppress(tf.errors.NotFoundError):
        tf.io.gfile.rmtree(folder)


def _copy(source: str, target: str) -> None:
    tf.io.gfile.makedirs(os.path.dirname(target))
    tf.io.gfile.copy(source, target, overwrite=True)


def _write(path: str, text: str) -> None:
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as out:
        out.write(text)
