"""Ids of callers: text or bytes, one or many."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pyarrow as pa

from errors import ConfigError

Id = str | bytes
"""Text is encoded as UTF-8. Surrogates stand for undecodable bytes, as `os.fsdecode` makes them."""

_KINDS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def encoded(id_: Id, argument: str) -> bytes:
    """Returns the bytes of an id.

    Raises:
      ConfigError: it is neither text nor bytes.
    """
    if isinstance(id_, bytes):
        return id_
    if isinstance(id_, str):
        return os.fsencode(id_)
    raise ConfigError(f"{argument}: an id is text or bytes (got {id_!r}). Convert it with str()")


def column(ids: Iterable[Id], argument: str) -> pa.Array:
    """Returns many ids as binary `[n]`.

    Args:
      ids: an Arrow array, or anything that yields ids, such as a list, a NumPy array or a pandas column.
      argument: how messages name it.

    Raises:
      ConfigError: it is a single id, or has something else than ids.
    """
    if isinstance(ids, str | bytes):
        raise ConfigError(f"{argument}: must be several ids, such as a list (got {ids!r})")
    if not isinstance(ids, pa.Array | pa.ChunkedArray):
        return pa.array([encoded(id_, argument) for id_ in ids], pa.binary())
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if array.null_count or array.type not in _KINDS:
        raise ConfigError(
            f"{argument}: must be text or bytes without gaps (got {array.type}, {array.null_count} missing)"
        )
    return array.cast(pa.binary())


def checked_side(side: str) -> str:
    """Returns `side`.

    Raises:
      ConfigError: it is neither `left` nor `right`.
    """
    if side not in ("left", "right"):
        raise ConfigError(f"side: must be 'left' or 'right' (got {side!r})")
    return side
