"""Recognizes properties of text files by their first lines. Refuses what is ambiguous."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.reading import json_lines
from components.pair_example_gen.reading.beginning import UTF_8, Beginning
from components.pair_example_gen.reading.dialect import Dialect, Fields
from errors import InputError

_COUNTED_RECORDS = 1000
_WHOLE_NUMBERS = re.compile(rb"\d+(?:[ \t]+\d+)*[ \t]*\r?")
_BLANKS = re.compile(rb"[ \t]+")
_NUMBER = r"^\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*$"
_DECIMAL_COMMA = r"^\s*[+-]?\d*,\d+\s*$"
_WHOLE = r"^\s*[+-]?\d+\s*$"
_THOUSANDS = r"^\s*[+-]?[1-9]\d{0,2},\d{3}\s*$"
_MOSTLY = 0.95
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_ .:-]*")
_MISSING = (b"na", b"nan", b"null", b"none", b"inf", b"infinity", b"true", b"false")
_COLUMN_NAMES = frozenset(
    b"user userid uid customer customerid member memberid reader follower followee person item itemid iid product "
    b"productid asin sku movie movieid film book bookid isbn song songid track trackid artist artistid source target "
    b"src dst from to fromnodeid tonodeid left right leftid rightid head tail node node1 node2 id1 id2 entity1 "
    b"entity2 query queryid document documentid doc docid word context author authorid paper paperid".split()
)


def refuse_json(file: str, data: bytes) -> None:
    """Checks that a file of delimited text is not JSON lines.

    Raises:
      InputError: names the key to set.
    """
    if json_lines.is_object(data.lstrip(b"\r\n").partition(b"\n")[0]):
        raise InputError(f"data.format: {file} holds JSON lines. Set data.format to jsonl")


def refuse_adjacency(file: str, data: bytes) -> None:
    """Checks that a file of delimited text is not adjacency lists.

    Raises:
      InputError: names the keys to set.
    """
    if is_adjacency([line for line in data.split(b"\n", _COUNTED_RECORDS)[:_COUNTED_RECORDS] if line.strip()]):
        raise InputError(
            f"data.format: {file} looks like adjacency lists, a left id followed by its right ids, because its lines "
            "are whole numbers and have different lengths. Set data.format to adjacency, and data.columns to "
            "{left: 0, right: 1}"
        )


def is_adjacency(lines: list[bytes]) -> bool:
    """Returns whether all lines are whole numbers with blanks between them, and their lengths vary.

    A file with a fixed number of columns has one length. With a few broken lines it still has a most common one.
    """
    if not lines or not all(map(_WHOLE_NUMBERS.fullmatch, lines)):
        return False
    lengths = [len(_BLANKS.split(line.strip())) for line in lines]
    return max(lengths) > 2 and max(map(lengths.count, set(lengths))) <= len(lines) / 2


def is_wrapped(dialect: Dialect, sample: bytes) -> bool:
    """Returns whether quotation marks wrap every field of a column, and begin no field of another column.

    The first record may be a header, in which quotation marks wrap all fields.
    """
    block = Beginning(sample, 0, UTF_8).first_block(dialect.blocks)
    if block is None or b'"' not in sample:
        return False
    fields = dialect.fields(block)
    header = fields.of_record(0)
    width = len(header)
    rows = fields.take((fields.counts == width) & (fields.faults == 0) & (np.arange(len(fields)) > 0))
    columns = [rows.column(column, width).to_pylist() for column in range(width)] if len(rows) else []
    wrapped = [all(map(_in_marks, column)) for column in columns]
    plain = [not any(value.startswith(b'"') for value in column) for column in columns]
    if not all(is_one or is_other for is_one, is_other in zip(wrapped, plain, strict=True)):
        return False
    return any(wrapped) or all(map(_in_marks, header))


def _in_marks(value: bytes) -> bool:
    return len(value) > 1 and value[:1] == value[-1:] == b'"'


def only_decimal_commas(fields: Fields, width: int) -> bool:
    """Returns whether there are commas, and all of them are in numbers."""
    rows = fields.take((fields.counts == width) & (fields.faults == 0))
    columns = [rows.column(column, width) for column in range(width)]
    commas = [column.filter(pc.match_substring(column, b",")) for column in columns]
    return any(map(len, commas)) and all(_all(column, _DECIMAL_COMMA) for column in commas if len(column))


def has_decimal_comma(file: str, fields: Fields, columns: list[int], decimal: str) -> bool:
    """Returns whether the numbers in the given columns have a decimal comma.

    Raises:
      InputError: their commas may also separate thousands.
    """
    if decimal != "auto":
        return decimal == ","
    width = len(fields.of_record(0)) if len(fields) else 0
    rows = fields.take((fields.counts == width) & (fields.faults == 0))
    for column in columns:
        if column >= width:
            continue
        values = rows.column(column, width)
        commas = values.filter(pc.match_substring(values, b","))
        if not len(commas):
            continue
        decimals = _count(values, _DECIMAL_COMMA)
        if not decimals or decimals + _count(values, _WHOLE) < _MOSTLY * (len(values) - 1):
            continue
        if _all(commas, _THOUSANDS):
            example = commas[0].as_py().decode(errors="replace")
            raise InputError(
                f"data.decimal: {file}: the comma in numbers such as {example} may be a decimal mark or separate "
                "thousands. Set data.decimal to ',' or '.'"
            )
        return True
    return False


def has_header(file: str, fields: Fields, width: int, columns: dict[str, int]) -> bool:
    """Returns whether the first record is a header although the columns are numbers.

    It is one if it has names where all other records have numbers, or if both ids are usual names of columns.

    Args:
      file: path of the file, for messages.
      fields: the first records.
      width: number of fields.
      columns: column of each role.

    Raises:
      InputError: the first record is 0, 1, 2, ..., which is the header of an unnamed table of pandas, or a pair.
    """
    if not len(fields) or fields.faults[0] or fields.counts[0] != width or max(columns.values()) >= width:
        return False
    first = fields.of_record(0)
    after = (np.arange(len(fields)) > 0) & (np.cumsum(np.ones(len(fields))) <= _COUNTED_RECORDS)
    rows = fields.take(after & (fields.counts == width) & (fields.faults == 0))
    if not len(rows):
        return False
    if first == [b"%d" % number for number in range(width)]:
        _refuse_numbered(file, rows.column(columns["left"], width)[0].as_py())
        return False
    values = {role: rows.column(column, width) for role, column in columns.items()}
    names = {role: first[column].strip() for role, column in columns.items()}
    if not all(map(_is_name, names.values())) or len(set(names.values())) < len(names):
        return False
    if any(_all(column, _NUMBER) for column in values.values()):
        return True
    return all(
        re.sub(rb"[^a-z0-9]", b"", names[side].lower()) in _COLUMN_NAMES for side in ("left", "right") if side in names
    )


def _refuse_numbered(file: str, next_left: bytes) -> None:
    # Sorted pairs begin with 0, 1 and go on with 0 or 1.
    if next_left not in (b"0", b"1"):
        raise InputError(
            f"data.header: {file}: the first line numbers the columns from 0, as pandas does when they have no names. "
            "Set data.header to true if it is a header, or to false if it is a pair"
        )


def _is_name(text: bytes) -> bool:
    return bool(_NAME.fullmatch(text)) and text.lower() not in _MISSING


def _count(column: pa.Array, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(column, pattern)).as_py() or 0)


def _all(column: pa.Array, pattern: str) -> bool:
    return len(column) > 0 and _count(column, pattern) == len(column)
