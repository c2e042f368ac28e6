"""What the values of a column look like."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.numbers import parse_numbers, parse_times
from pipeline.commands.init.sample import numbers_with_point

# Seconds, milliseconds, microseconds and nanoseconds since 1970, from 1990 to 2065.
_EPOCHS = [(0.63e9 * unit, 3e9 * unit) for unit in (1, 1e3, 1e6, 1e9)]


@dataclasses.dataclass(frozen=True)
class Facts:
    """The values of a column in the sample.

    Attributes:
      filled: the number of values that are not missing.
      distinct: the number of different values.
      numeric: whether all values are finite numbers.
      whole: whether all values are whole numbers.
      is_time: whether all values are dates, or numbers that look like a time since 1970.
      counts_rows: whether the values are whole numbers that rise by 1 with each row.
      has_digits: whether all values have a digit.
      least: the smallest number. 0 if the values are not numeric.
      most: the largest number. 0 if the values are not numeric.
    """

    filled: int
    distinct: int
    numeric: bool
    whole: bool
    is_time: bool
    counts_rows: bool
    has_digits: bool
    least: float
    most: float

    @classmethod
    def of(cls, column: pa.Array) -> Facts:
        """Returns the facts of a column of binary text `[n]`."""
        values = column.drop_null()
        count, distinct = len(values), len(pc.unique(values))
        numbers, valid = parse_numbers(numbers_with_point(values), with_booleans=True)
        numeric = count > 0 and bool(valid.all() and np.isfinite(numbers).all())
        whole = numeric and bool((numbers == np.floor(numbers)).all())
        counts_rows = whole and count == len(column) > 2 and bool((np.diff(numbers) == 1).all())
        least, most = (float(numbers.min()), float(numbers.max())) if numeric else (0.0, 0.0)
        is_time = _are_epochs(numbers) if numeric else count > 0 and _are_dates(values)
        has_digits = count > 0 and bool(pc.all(pc.match_substring_regex(values, "[0-9]")).as_py())
        return cls(count, distinct, numeric, whole, is_time, counts_rows, has_digits, least, most)

    def describe(self) -> str:
        """Returns the facts in words."""
        if self.is_time and not self.numeric:
            return "dates"
        if self.is_time:
            return f"times from {_date(self.least)} to {_date(self.most)}"
        found = "1 value" if self.distinct == 1 else f"{self.distinct:,} different values"
        return f"{found} from {self.least:g} to {self.most:g}" if self.numeric and self.distinct > 1 else found


def _date(number: float) -> str:
    """Returns the date of a time since 1970 in any unit."""
    unit = next(low / _EPOCHS[0][0] for low, high in _EPOCHS if low < number < high)
    return datetime.datetime.fromtimestamp(number / unit, datetime.timezone.utc).date().isoformat()


def _are_epochs(numbers: np.ndarray) -> bool:
    """Returns whether each number is a time since 1970. They may have different units."""
    return bool(np.any([(low < numbers) & (numbers < high) for low, high in _EPOCHS], axis=0).all())


def _are_dates(values: pa.Array) -> bool:
    _, valid, dates = parse_times(values)
    return bool((valid & dates).all())
