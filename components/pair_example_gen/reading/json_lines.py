"""Reads JSON lines: each line is an object, whose keys are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from components.pair_example_gen.reading.compression import Readable
from components.pair_example_gen.reading.records import BLOCK_BYTES, FAULTS, Block, read_blocks
from components.pair_example_gen.rows import RAW_BYTES, RawRows, RowPositions, separate
from components.pair_example_gen.values import UNIT_SEPARATOR, as_ids, is_feature, is_id
from errors import InputError

_LF = 10
_KINDS = {dict: "an object", list: "a list"}


def blocks(stream: Readable, line: int = 1, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yields the lines of a stream that begins on `line`. A line end within a string is escaped in JSON."""
    return read_blocks(stream, _LF, False, line, block_bytes)


def is_object(line: bytes) -> bool:
    """Returns whether a line is a JSON object."""
    return line.lstrip().startswith(b"{") and _parse(line)[0] is not None


def column_names(file: str, block: Block) -> tuple[str, ...]:
    """Returns the keys of the first lines, in the order of their first appearance.

    Raises:
      InputError: no line is an object.
    """
    lines = _lines(block)
    if lines[0].lstrip().startswith(b"["):
        raise InputError(
            f"data.path: {file} begins with a JSON array. Write one object to a line, for example with jq -c '.[]'"
        )
    objects = [found for found, _ in map(_parse, lines) if found is not None]
    if objects:
        return tuple(dict.fromkeys(key for found in objects for key in found))
    raise InputError(f"data.path: {file} is not JSON lines: none of its first {len(block):,} lines is a JSON object")


def read_rows(stream: Readable, file: str, columns: dict[str, str], line: int) -> Iterator[RawRows]:
    """Yields the given `columns`. The stream begins on `line`. A missing key is a missing value."""
    for block in blocks(stream, line):
        yield _rows(file, block, columns)


def _rows(file: str, block: Block, columns: dict[str, str]) -> RawRows:
    lines = _lines(block)
    parsed = [(None, FAULTS[fault]) if fault else _parse(line) for fault, line in zip(block.faults, lines, strict=True)]
    reasons = np.array([reason for _, reason in parsed], object)
    fields = {}
    for role, name in columns.items():
        values = [None if found is None else found.get(name) for found, _ in parsed]
        fields[role] = _column(values, role, reasons)

    def raw(rows: np.ndarray) -> pa.Array:
        return pa.array([lines[row][:RAW_BYTES] for row in rows.tolist()], pa.binary())

    return separate(file, fields, RowPositions(line=block.lines), raw, reasons)


def _lines(block: Block) -> list[bytes]:
    data = block.data.tobytes()
    return [data[start:end] for start, end in zip(block.starts.tolist(), block.ends.tolist(), strict=True)]


def _parse(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """Returns the object, and the reason if a line is none."""
    try:
        found = json.loads(line)
    except UnicodeDecodeError:
        return None, "line is not UTF-8"
    except (ValueError, RecursionError):
        return None, "line is not JSON"
    return (found, "") if isinstance(found, dict) else (None, "line is not a JSON object")


def _column(values: list[Any], role: str, reasons: np.ndarray) -> pa.Array:
    """Returns values as binary text, null where missing. Sets the reason of each value that has no text."""
    subject = f"{role} id" if is_id(role) else role
    if is_feature(role):
        values = [UNIT_SEPARATOR.join(map(str, value)) if isinstance(value, list) else value for value in values]
    texts = list[bytes | None]()
    for row, value in enumerate(values):
        text, reason = _text(value)
        reasons[row] = reasons[row] or (reason and f"{subject} {reason}")
        texts.append(text)
    floats = [row for row, value in enumerate(values) if isinstance(value, float)] if is_id(role) else []
    if floats:
        found = reasons[floats]
        for row, text in zip(floats, as_ids(pa.array([values[row] for row in floats]), role, found), strict=True):
            texts[row] = text.as_py()
        reasons[floats] = found
    return pa.array(texts, pa.binary())


def _text(value: Any) -> tuple[bytes | None, str]:
    """Returns a value as text, and the reason if it has none."""
    if value is None:
        return None, ""
    if isinstance(value, str):
        try:
            return value.encode(), ""
        except UnicodeEncodeError:  # half of a surrogate pair
            return None, "is not UTF-8"
    if isinstance(value, bool):
        return str(value).lower().encode(), ""
    if isinstance(value, dict | list):
        return None, f"is {_KINDS[type(value)]}"
    return repr(value).encode(), ""
