"""Numbers and times out of text, a column at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"(?i)^[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)$"


def parse_numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """float64 values `[n]` of text or numbers, and which of them are numbers at all; bool `[n]`.

    NaN and infinity are numbers here. Where it is none, the value is 0.
    """
    if pa.types.is_binary(column.type):
        return _parse_text(column)
    values = column.cast(pa.float64(), safe=False)
    return values.fill_null(0).to_numpy(zero_copy_only=False), values.is_valid().to_numpy(zero_copy_only=False)


def parse_times(column: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64 times `[n]`, which of them are finite numbers or ISO 8601 dates, and which are dates; bool `[n]`.

    A number stands for itself, whatever its unit; a date for the seconds since 1970, in UTC unless it says otherwise.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        seconds = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        valid = seconds.is_valid().to_numpy(zero_copy_only=False)
        return seconds.fill_null(0).to_numpy(zero_copy_only=False) / 1e6, valid, valid
    values, valid = parse_numbers(column)
    dates = np.zeros(len(values), bool)
    if not valid.all() and pa.types.is_binary(column.type):
        rows = np.flatnonzero(~valid)
        values = values.copy()
        values[rows], dates[rows] = _parse_dates(column.take(pa.array(rows)))
    return values, (valid | dates) & np.isfinite(values), dates


def _parse_text(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    try:
        values = column.cast(pa.string()).cast(pa.float64())
    except pa.ArrowInvalid:
        values = _parse_some(column)
    return values.fill_null(0).to_numpy(zero_copy_only=False), values.is_valid().to_numpy(zero_copy_only=False)


def _parse_some(column: pa.Array) -> pa.Array:
    """float64 values; null where the text is no number."""
    trimmed = pc.utf8_trim_whitespace(valid_text(column))
    numeric = pc.match_substring_regex(trimmed, _NUMBER)
    return pc.if_else(numeric, trimmed, pa.scalar(None, pa.string())).cast(pa.float64())


def _parse_dates(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since 1970 and which values are dates; those that are not count 0."""
    nothing = pa.scalar(None, pa.string())
    text = pc.utf8_trim_whitespace(valid_text(column))
    text = pc.if_else(pc.match_substring_regex(text, r"^\d{4}-\d\d-\d\d"), text, nothing)
    zoned = pc.match_substring_regex(text, r"[Tt ][0-9:.]+(Z|[+-]\d\d(:?\d\d)?)$")
    with_zone = _cast_where_possible(pc.if_else(zoned, text, nothing), pa.timestamp("us", "UTC"))
    without = _cast_where_possible(pc.if_else(zoned, nothing, text), pa.timestamp("us"))
    micros = pc.coalesce(with_zone.cast(pa.int64()), without.cast(pa.int64()))
    valid = micros.is_valid().to_numpy(zero_copy_only=False)
    return micros.fill_null(0).to_numpy(zero_copy_only=False) / 1e6, valid


def _cast_where_possible(text: pa.Array, type_: pa.DataType) -> pa.Array:
    """The values as `type_`, null where they are none; halves the column until the culprits stand alone."""
    try:
        return text.cast(type_)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, type_)
    middle = len(text) // 2
    return pa.concat_arrays([_cast_where_possible(text[:middle], type_), _cast_where_possible(text[middle:], type_)])


def valid_text(column: pa.Array) -> pa.Array:
    """The column as strings, empty where a value is not UTF-8."""
    valid = is_utf8(column)
    if not valid.all():
        column = pc.if_else(pa.array(valid), column, pa.scalar(b"", column.type))
    return column.cast(pa.string())


def is_utf8(column: pa.Array) -> np.ndarray:
    """Which values are UTF-8; bool `[n]`. The whole column is tried first, as nearly always it is."""
    try:
        column.cast(pa.string())
    except pa.ArrowInvalid:
        return np.array([value is None or _decodes(value) for value in column.to_pylist()], bool)
    return np.ones(len(column), bool)


def _decodes(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
