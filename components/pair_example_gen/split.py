"""Assigns pairs to splits by a hash of their ids, independent of files, row order and runner."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BASE = np.uint64(0x9E3779B97F4A7C15)


def in_eval(left: pa.Array, right: pa.Array, by: str, eval_fraction: float, unordered: bool = False) -> np.ndarray:
    """Returns whether each pair belongs to the eval split, bool `[n]`.

    With `pair`, all occurrences of a pair are in the same split. With `left` or `right`, all pairs of an entity of this
    side are. Where pairs are unordered, a held-out entity has all of its pairs in eval, on whichever side it is.

    Args:
      left: ids, `[n]`.
      right: ids, `[n]`.
      by: `pair`, `left` or `right`.
      eval_fraction: the expected share of pairs in eval (ordered pairs by `left` or `right`: of entities).
      unordered: whether (a, b) and (b, a) are the same pair.
    """
    if by == "pair":
        return _share(pair_keys(left, right, unordered)) < eval_fraction
    if not unordered:
        return _share(hash_bytes(left if by == "left" else right)) < eval_fraction
    # A pair is in train if neither entity is held out: (1 - share of entities)^2 = 1 - eval_fraction.
    held = 1 - (1 - eval_fraction) ** 0.5
    return (_share(hash_bytes(left)) < held) | (_share(hash_bytes(right)) < held)


def _share(key: np.ndarray) -> np.ndarray:
    """Returns the top 53 bits of keys as numbers in [0, 1)."""
    return np.asarray((key >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def pair_keys(left: pa.Array, right: pa.Array, unordered: bool = False) -> np.ndarray:
    """Returns a 64-bit hash of each pair, uint64 `[n]`. `in_eval` uses only the top 53 bits.

    Args:
      left: ids, `[n]`.
      right: ids, `[n]`.
      unordered: whether (a, b) and (b, a) get the same key, that of the pair whose left id has the smaller bytes.
    """
    first, second = hash_bytes(left), hash_bytes(right)
    if unordered:
        swapped = pc.greater(_plain(left), _plain(right)).to_numpy(zero_copy_only=False)
        first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    return _mix(first * np.uint64(3) + second)


def _plain(ids: pa.Array) -> pa.Array:
    """Returns ids as one array of bytes."""
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    return ids.cast(ids.type.value_type) if pa.types.is_dictionary(ids.type) else ids


def hash_bytes(values: pa.Array) -> np.ndarray:
    """Returns a 64-bit hash of each non-empty byte string, uint64 `[n]`.

    The polynomial sum of byte * base^position modulo 2^64, mixed by the finalizer of SplitMix64 (Steele, Lea & Flood
    2014). Processes whole columns without a Python object per row. Hashes each value of a dictionary once.

    Raises:
      ValueError: a value is empty.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        return hash_bytes(values.dictionary)[values.indices.to_numpy()]
    if not len(values):
        return np.zeros(0, np.uint64)
    _, offset_buffer, data_buffer = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
    lengths = np.diff(offsets)
    if not lengths.all():
        raise ValueError("cannot hash an empty id")
    data = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    starts = offsets[:-1] - offsets[0]
    positions = np.arange(len(data)) - np.repeat(starts, lengths)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(int(lengths.max()), _BASE, np.uint64))
        # Adding 1 makes a zero byte count.
        terms = (data.astype(np.uint64) + np.uint64(1)) * powers[positions]
        return _mix(np.add.reduceat(terms, starts))


def _mix(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))
