"""Parses numbers and times, one column at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"(?i)^[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)$"
_TRUE, _FALSE = "(?i)^true$", "(?i)^false$"
# The zones of RE2 and of Arrow are letters Z and offsets. UTC and GMT are zone Z.
_NAMED_UTC = r"(?i)z?\s*\[?(utc|gmt|z)\]?$"
_BLANK_OFFSET = r"(:\d\d(\.\d+)?)\s+([+-]\d\d(:?\d\d)?)$"
_NAMED_ZONE = r"^(?P<local>[0-9:.T -]+?)\s*\[?(?P<zone>[A-Za-z]+(?:/[A-Za-z0-9_+-]+)+)\]?$"


def parse_numbers(column: pa.Array, with_booleans: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Parses text or numbers.

    NaN and infinity count as numbers. The value of anything else is 0.

    Args:
      column: text, numbers or Booleans.
      with_booleans: whether the words true and false are 1 and 0.

    Returns:
      The values, float64 `[n]`, and a mask of the numbers, bool `[n]`.
    """
    if pa.types.is_binary(column.type):
        return _parse_text(column, with_booleans)
    values = column.cast(pa.float64(), safe=False)
    return values.fill_null(0).to_numpy(zero_copy_only=False), values.is_valid().to_numpy(zero_copy_only=False)


def parse_times(column: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parses times.

    A number is a time in any unit. An ISO 8601 date becomes seconds since 1970, in UTC unless it has an offset or
    the name of a zone, such as `2001-09-05 00:38:52 Europe/Paris`.

    Returns:
      The times, float64 `[n]`, a mask of the finite numbers and dates, bool `[n]`, and a mask of the dates, bool `[n]`.
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


def _parse_text(column: pa.Array, with_booleans: bool) -> tuple[np.ndarray, np.ndarray]:
    try:
        values = column.cast(pa.string()).cast(pa.float64())
    except pa.ArrowInvalid:
        values = _parse_some(column, with_booleans)
    return values.fill_null(0).to_numpy(zero_copy_only=False), values.is_valid().to_numpy(zero_copy_only=False)


def _parse_some(column: pa.Array, with_booleans: bool) -> pa.Array:
    """Returns float64 values, null where the text is not a number."""
    trimmed = pc.utf8_trim_whitespace(valid_text(column))
    if with_booleans:
        for word, number in ((_TRUE, "1"), (_FALSE, "0")):
            trimmed = pc.replace_substring_regex(trimmed, word, number)
    numeric = pc.match_substring_regex(trimmed, _NUMBER)
    return pc.if_else(numeric, trimmed, pa.scalar(None, pa.string())).cast(pa.float64())


def _parse_dates(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Returns seconds since 1970 and a mask of the dates. The value of anything else is 0."""
    nothing = pa.scalar(None, pa.string())
    text = pc.utf8_trim_whitespace(valid_text(column))
    text = pc.if_else(pc.match_substring_regex(text, r"^\d{4}-\d\d-\d\d"), text, nothing)
    text = pc.replace_substring_regex(text, _NAMED_UTC, "Z")
    text = pc.replace_substring_regex(text, _BLANK_OFFSET, r"\1\3")
    zoned = pc.match_substring_regex(text, r"[Tt ][0-9:.]+(Z|[+-]\d\d(:?\d\d)?)$")
    with_zone = _cast_where_possible(pc.if_else(zoned, text, nothing), pa.timestamp("us", "UTC"))
    without = _cast_where_possible(pc.if_else(zoned, nothing, text), pa.timestamp("us"))
    in_zone = _parse_in_zone(text)
    micros = pc.coalesce(with_zone.cast(pa.int64()), without.cast(pa.int64()), in_zone.cast(pa.int64()))
    valid = micros.is_valid().to_numpy(zero_copy_only=False)
    return micros.fill_null(0).to_numpy(zero_copy_only=False) / 1e6, valid


def _parse_in_zone(text: pa.Array) -> pa.Array:
    """Parses local times that end in the name of a zone of the IANA database. Null where a text is anything else."""
    times = pa.nulls(len(text), pa.timestamp("us", "UTC"))
    parts = pc.extract_regex(text, _NAMED_ZONE)
    if parts.null_count == len(parts):
        return times
    local, zones = pc.struct_field(parts, "local"), pc.struct_field(parts, "zone")
    for zone in pc.unique(zones.drop_null()).to_pylist():
        here = pc.if_else(pc.equal(zones, zone).fill_null(False), local, pa.scalar(None, pa.string()))
        naive = _cast_where_possible(here, pa.timestamp("us"))
        try:
            at = pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="earliest")
        except pa.ArrowInvalid:  # there is no such zone
            continue
        times = pc.coalesce(times, at.cast(times.type))
    return times


def _cast_where_possible(text: pa.Array, type_: pa.DataType) -> pa.Array:
    """Casts the values to `type_`, null where impossible. Bisects the column until each bad value is isolated."""
    try:
        return text.cast(type_)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, type_)
    middle = len(text) // 2
    return pa.concat_arrays([_cast_where_possible(text[:middle], type_), _cast_where_possible(text[middle:], type_)])


def valid_text(column: pa.Array) -> pa.Array:
    """Returns the column as strings, empty where a value is not UTF-8."""
    valid = is_utf8(column)
    if not valid.all():
        column = pc.if_else(pa.array(valid), column, pa.scalar(b"", column.type))
    return column.cast(pa.string())


def is_utf8(column: pa.Array) -> np.ndarray:
    """Returns the mask of UTF-8 values, bool `[n]`. Tries the whole column first, because it is almost always valid."""
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
