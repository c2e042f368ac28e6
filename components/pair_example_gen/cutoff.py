"""Finds the start time of the eval split without holding all times in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

_DIGIT_BITS = 16
_DIGITS = 1 << _DIGIT_BITS
_SIGN = np.uint64(1 << 63)


def find_cutoff(times: Callable[[], Iterator[np.ndarray]], eval_fraction: float) -> float:
    """Returns the latest time T such that rows at T or later are at least `eval_fraction` of all rows.

    Rows of equal time stay together, so the eval split may be larger than `eval_fraction`, but never smaller. The
    function is a radix select: four passes over `times`, each of which resolves 16 more bits.

    Args:
      times: returns an iterator over the times of all rows, float64 arrays of any size and order. Called repeatedly.
      eval_fraction: between 0 and 1.

    Raises:
      ValueError: there are no rows.
    """
    prefix, wanted = np.uint64(0), -1
    for level in range(64 // _DIGIT_BITS):
        shift = np.uint64(64 - _DIGIT_BITS * (level + 1))
        counts = np.zeros(_DIGITS, np.int64)
        for piece in times():
            keys = _ordered_keys(piece)
            if level:
                keys = keys[keys >> (shift + np.uint64(_DIGIT_BITS)) == prefix]
            counts += np.bincount((keys >> shift).astype(np.int64) & (_DIGITS - 1), minlength=_DIGITS)
        if level == 0:
            if not counts.sum():
                raise ValueError("cannot find a cutoff: there are no rows")
            wanted = max(int(np.ceil(eval_fraction * counts.sum())), 1)
        later = np.cumsum(counts[::-1])
        from_end = int(np.searchsorted(later, wanted))
        wanted -= int(later[from_end - 1]) if from_end else 0
        prefix = (prefix << np.uint64(_DIGIT_BITS)) | np.uint64(_DIGITS - 1 - from_end)
    return _time_of(prefix)


def _ordered_keys(times: np.ndarray) -> np.ndarray:
    """Returns uint64 keys in the order of the times: sets the sign bit of positive numbers, inverts negative ones."""
    # Adding zero turns -0.0 into 0.0.
    bits = (times.astype(np.float64) + 0.0).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _time_of(key: np.uint64) -> float:
    bits = key & ~_SIGN if key & _SIGN else ~key
    return float(np.array([bits], np.uint64).view(np.float64)[0])
