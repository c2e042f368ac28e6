"""Assigns pairs to splits by a hash of their ids, independent of files, row order and runner."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

_BASE = np.uint64(0x9E3779B97F4A7C15)


def in_eval(left: pa.Array, right: pa.Array, by: str, eval_fraction: float) -> np.ndarray:
    """Returns whether each pair belongs to the eval split, bool `[n]`.

    With `left`, all pairs of a left entity are in the same split. With `pair`, all occurrences of a pair are.
    """
    key = hash_bytes(left) if by == "left" else pair_keys(left, right)
    # The top 53 bits as a number in [0, 1).
    return (key >> np.uint64(11)).astype(np.float64) * 2.0**-53 < eval_fraction


def pair_keys(left: pa.Array, right: pa.Array) -> np.ndarray:
    """Returns a 64-bit hash of each pair, uint64 `[n]`. `in_eval` uses only the top 53 bits."""
    return _mix(hash_bytes(left) * np.uint64(3) + hash_bytes(right))


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
