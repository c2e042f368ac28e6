"""Checks the values of features, one column at a time. An empty value is a missing one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.numbers import is_utf8, parse_numbers, valid_text
from components.pair_example_gen.rules import Faults
from components.pair_example_gen.values import UNIT_SEPARATOR, as_ids
from trainer.entity_features.settings import FeatureColumn
from trainer.entity_features.table import type_of

_LINE_ENDS = "[\r\n]"


def checked(name: str, given: FeatureColumn, column: pa.Array, null_words: tuple[str, ...], faults: Faults) -> pa.Array:
    """Returns the values of a feature, and marks the rows whose value breaks a rule.

    Args:
      name: of the feature.
      given: what the column holds.
      column: as the reader returns it, `[n]`.
      null_words: texts that stand for a missing value.
      faults: gets the broken rules.

    Returns:
      Values of the type `type_of(given)`, `[n]`, null where missing.
    """
    if given.kind == "number":
        return _numbers(name, _blanked(column, null_words), faults)
    text = _blanked(_as_text(name, column, faults), null_words)
    faults.mark(~is_utf8(text), f"{name} is not UTF-8")
    text = pc.utf8_trim_whitespace(valid_text(text.fill_null(b"")))
    if given.kind != "tags":
        faults.mark(pc.match_substring(text, UNIT_SEPARATOR).to_numpy(zero_copy_only=False), f"{name} is a list")
    if given.kind == "text":
        return _without_empty(text).cast(type_of(given))
    # A vocabulary is a text file with one value per line.
    held = pc.match_substring_regex(text, _LINE_ENDS).to_numpy(zero_copy_only=False)
    faults.mark(held, f"{name} holds a line feed or a carriage return")
    if given.kind == "category":
        return _without_empty(text).cast(type_of(given))
    return _tags(text, given.separator).cast(type_of(given))


def _as_text(name: str, column: pa.Array, faults: Faults) -> pa.Array:
    """Returns text as it is, and whole numbers as their digits."""
    if pa.types.is_binary(column.type):
        return column
    reasons = np.full(len(column), "", object)
    text = as_ids(column, name, reasons)
    for reason in dict.fromkeys(filter(None, reasons.tolist())):
        faults.mark(reasons == reason, reason.replace(f"{name} id", name))
    return text


def _blanked(column: pa.Array, null_words: tuple[str, ...]) -> pa.Array:
    """Returns text with nulls in place of the words for missing values. Other types have none."""
    if not null_words or not pa.types.is_binary(column.type):
        return column
    words = pa.array([word.encode() for word in null_words], column.type)
    return pc.if_else(pc.is_in(column, value_set=words), pa.scalar(None, column.type), column)


def _numbers(name: str, column: pa.Array, faults: Faults) -> pa.Array:
    values, valid = parse_numbers(column, with_booleans=True)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_binary(column.type):
        blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(valid_text(column.fill_null(b"")))), 0)
        missing = missing | blank.to_numpy(zero_copy_only=False)
    missing = missing | (valid & np.isnan(values))
    faults.mark(~valid & ~missing, f"{name} is not a number")
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = values.astype(np.float32)
    faults.mark(valid & ~missing & ~np.isfinite(numbers), f"{name} is not finite")
    return pa.array(numbers, pa.float32(), mask=missing)


def _tags(text: pa.Array, separator: str) -> pa.Array:
    """Returns the distinct tags of each row in their order, a list of strings, null without any."""
    rows = []
    for value in text.to_pylist():
        parts = value.split(UNIT_SEPARATOR if UNIT_SEPARATOR in value else separator)
        tags = list(dict.fromkeys(filter(None, map(str.strip, parts))))
        rows.append(tags or None)
    return pa.array(rows, pa.large_list(pa.large_string()))


def _without_empty(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.utf8_length(text), 0), pa.scalar(None, text.type), text)
