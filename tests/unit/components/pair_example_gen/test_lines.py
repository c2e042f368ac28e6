"""JSON lines and adjacency lists, against plain Python, for any size of chunks."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.pair_example_gen.reading import chunks
from components.pair_example_gen.reading.boundaries import record_ends
from components.pair_example_gen.reading.dialect import Dialect
from components.pair_example_gen.reading.recognition import is_adjacency
from components.pair_example_gen.settings import ColumnSettings, PairFiles

ADJACENCY = PairFiles(path="-", format="adjacency", columns=ColumnSettings(left=0, right=1))
JSON_LINES = PairFiles(path="-", format="jsonl", columns=ColumnSettings(left="l", right="r", score="s"))

Row = tuple[int, list[Any]]


def read(content: bytes, layout: PairFiles, chunk_bytes: int) -> tuple[list[Row], list[tuple[int, str]]]:
    """Returns the (line, values) of the rows and the (line, reason) of the broken ones."""
    rows, broken = list[Row](), list[tuple[int, str]]()
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        for chunk in chunks.cut(0, file.name, layout, chunk_bytes):
            for found in chunks.read(chunk, layout):
                values = zip(*(column.to_pylist() for column in found.columns.values()), strict=True)
                assert found.positions.line is not None
                rows += zip(found.positions.line.tolist(), map(list, values), strict=True)
                broken += [(row["line"], row["reason"]) for row in found.broken.to_pylist()]
    return rows, broken


words = st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n"), min_size=1, max_size=4).map(str.encode)
blanks = st.sampled_from([b" ", b"\t", b"  ", b" \t "])
lists = st.lists(st.lists(st.tuples(blanks, words), max_size=4), min_size=1, max_size=8)


@given(lists, st.sampled_from([b"", b" "]), st.sampled_from([b"\n", b"\r\n"]), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_adjacency_lists(
    lines: list[list[tuple[bytes, bytes]]], after: bytes, line_end: bytes, chunk_bytes: int
) -> None:
    texts = [b"".join(map(b"".join, line)) + after for line in [*lines, [(b"", b"z"), (b" ", b"z")]]]
    expected, alone = list[Row](), list[int]()
    for line, text in enumerate(texts, 1):
        left, *rights = re.findall(rb"[^ \t]+", text) or [b""]
        expected += [(line, [left, right]) for right in rights]
        alone += [line] if text and not rights else []
    content = b"".join(text + line_end for text in texts)
    rows, broken = read(content, ADJACENCY, chunk_bytes)
    assert rows == expected
    assert broken == [(line, "no right id after the left id") for line in alone]


numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
ids = st.text(st.characters(codec="utf-8"), max_size=5) | st.integers(-(10**20), 10**20) | st.none()


@given(st.lists(st.fixed_dictionaries({"l": ids, "r": ids, "s": numbers}), min_size=1, max_size=8), st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_json_lines(objects: list[dict[str, Any]], chunk_bytes: int) -> None:
    content = b"".join(json.dumps(found, ensure_ascii=bool(n % 2)).encode() + b"\n" for n, found in enumerate(objects))
    rows, broken = read(content, JSON_LINES, chunk_bytes)
    assert not broken
    assert [line for line, _ in rows] == list(range(1, len(objects) + 1))
    for (_, (left, right, score)), found in zip(rows, objects, strict=True):
        expected = [None if found[key] is None else str(found[key]).encode() for key in ("l", "r")]
        assert [left, right, float(score)] == [*expected, float(found["s"])]


@pytest.mark.parametrize(
    ("lines", "recognized"),
    [
        ([b"0 1 2 3", b"1 5", b"2 4 5", b"3"], True),
        ([b"0 1 2", b"1 5 2", b"2 4 5"], False),  # columns
        ([b"0 1 2", b"1 5", b"2 4 5", b"3 4 5"], False),  # columns and a broken line
        ([b"0 1", b"1"], False),
        ([b"0 1 2 3", b"1 a", b"2 4 5", b"3"], False),
        ([b"0,1,2,3", b"1,5"], False),
    ],
)
def test_recognized_adjacency_lists(lines: list[bytes], recognized: bool) -> None:
    assert is_adjacency(lines) == recognized


def test_adjacency_lists_have_no_other_columns() -> None:
    with pytest.raises(pydantic.ValidationError, match=re.escape("needs columns: {left: 0, right: 1}")):
        PairFiles(path="-", format="adjacency", columns=ColumnSettings(left=0, right=1, score=2))


@given(
    st.lists(st.sampled_from([b"a,b\n", b"\n", b"a,b", b"\r\n", b'"a\nb",c\n', b'a"\n', b'"']), max_size=20),
    st.booleans(),
    st.integers(1, 30),
)
@settings(max_examples=200, deadline=None)
def test_cuts_are_record_ends(pieces: list[bytes], quoted: bool, block_bytes: int) -> None:
    """A cut is the end of a record and has the number of the next line, as one pass over the whole text finds them."""
    content, dialect = b"".join(pieces), Dialect(b",", quoted)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        cuts = list(record_ends(file.name, 0, 1, dialect.blocks, quoted, block_bytes))
        with open(file.name, "rb") as stream:
            whole = next(dialect.blocks(stream), None)
    assert ([end for end, _ in cuts] or [0])[-1] == len(content)
    if whole is None:
        assert not cuts
        return
    for end, line in cuts:
        assert line - 1 == content.count(b"\n", 0, end)
        assert not ((whole.starts < end) & (end < whole.ends)).any()
