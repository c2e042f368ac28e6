"""Ids that are numbers, and the spellings of one number."""

from __future__ import annotations

import functools
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
_PLAIN = r"^(0|-?[1-9]\d*)$"
_EXPONENT = r"^[1-9](\.\d+)?[eE]\+\d+$"
_WHOLE_DECIMAL = r"^-?\d+\.0+$"
# Text has numbers too. Among other ids, this share of the numbers must have several spellings.
_SHARE_IN_TEXT = 0.1


class Numerals:
    """The ids that are numbers.

    Args:
      text: the ids, large_string `[n]`.
    """

    def __init__(self, text: pa.Array) -> None:
        self._text = text

    @functools.cached_property
    def numbers(self) -> np.ndarray:
        """Which ids are numbers, bool `[n]`."""
        return _matches(self._text, _NUMBER)

    @functools.cached_property
    def plain(self) -> np.ndarray:
        """Which ids are whole numbers in their usual spelling, bool `[n]`."""
        return _matches(self._text, _PLAIN)

    @functools.cached_property
    def decimals(self) -> np.ndarray:
        """Which ids are whole numbers with a decimal point and zeros, bool `[n]`."""
        return _matches(self._text, _WHOLE_DECIMAL) if self._has_odd else np.zeros(len(self._text), bool)

    @functools.cached_property
    def exponents(self) -> np.ndarray:
        """Which ids are numbers as spreadsheets and R write long ones, such as 1.2E+11, bool `[n]`."""
        return _matches(self._text, _EXPONENT) if self._has_odd else np.zeros(len(self._text), bool)

    @functools.cached_property
    def _has_odd(self) -> bool:
        return bool((self.numbers & ~self.plain).any())

    def several_spellings(self) -> np.ndarray:
        """Returns which ids are numbers with several spellings, bool `[n]`.

        Where at least half of the ids are numbers, also whole numbers with and without `.0`, such as 4 and 7.0.
        Elsewhere, none if fewer than a tenth of the numbers have several spellings.
        """
        found = np.zeros(len(self._text), bool)
        if not self._has_odd:
            return found
        places = np.flatnonzero(self.numbers)
        codes = self._values(places).dictionary_encode().indices.to_numpy()
        found[places] = np.bincount(codes)[codes] > 1
        if 2 * len(places) >= len(self._text):
            return found | self.decimals if self.plain.any() else found
        return found if found.sum() >= _SHARE_IN_TEXT * len(places) else np.zeros(len(self._text), bool)

    def _values(self, places: np.ndarray) -> pa.Array:
        """Returns the numbers in one spelling, large_string."""
        odd = ~self.plain[places]
        text = self._text.take(pa.array(places))
        usual = usual_spelling(text.filter(pa.array(odd)))
        return pc.replace_with_mask(text, pa.array(odd), usual)


def usual_spelling(numbers: pa.Array) -> pa.Array:
    """Returns numbers as text without sign +, leading zeros, exponent, and zeros at the end of decimals."""
    exponents = np.flatnonzero(_matches(numbers, "[eE]"))
    if len(exponents):
        mask = np.zeros(len(numbers), bool)
        mask[exponents] = True
        written = [f"{Decimal(number):f}" for number in numbers.take(pa.array(exponents)).to_pylist()]
        numbers = pc.replace_with_mask(numbers, pa.array(mask), pa.array(written, numbers.type))
    for pattern, replacement in (
        (r"^\+", ""),
        (r"^(-?)\.", r"\10."),  # group 1 and a zero
        (r"^(-?)0+(\d)", r"\1\2"),
        (r"(\.\d*?)0+$", r"\1"),
        (r"\.$", ""),
        (r"^-0$", "0"),
    ):
        numbers = pc.replace_substring_regex(numbers, pattern, replacement)
    return numbers


def _matches(text: pa.Array, pattern: str) -> np.ndarray:
    return np.asarray(pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False), bool)
