"""Compares record boundaries with a plain state machine for any block size."""

import io

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.pair_example_gen.reading.quoting import find_quoted_records, find_records_by_parity
from components.pair_example_gen.reading.records import FAULTS, MAX_RECORD_BYTES, read_blocks

COMMA = ord(",")

# The characters that affect records, with an adverse distribution.
hostile_text = st.lists(
    st.sampled_from([b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b"bc", b"\xff"]), max_size=40
).map(b"".join)


def records(data, quoted=True, block_bytes=1 << 20, max_record=MAX_RECORD_BYTES, first_line=1):
    found = []
    for block in read_blocks(io.BytesIO(data), COMMA, quoted, first_line, block_bytes, max_record):
        for start, end, line, fault in zip(block.starts, block.ends, block.lines, block.faults, strict=True):
            found.append((int(line), bytes(block.data[start:end]), FAULTS[fault]))
    return found


@given(hostile_text, st.integers(1, 30), st.sampled_from([12, MAX_RECORD_BYTES]))
@settings(max_examples=400, deadline=None)
def test_block_size_keeps_records(data, block_bytes, max_record):
    whole = records(data, max_record=max_record)
    cut = records(data, block_bytes=block_bytes, max_record=max_record)
    assert [(line, raw[:max_record], fault) for line, raw, fault in whole] == [
        (line, raw[:max_record], fault) for line, raw, fault in cut
    ]


@given(hostile_text)
@settings(max_examples=400, deadline=None)
def test_block_ends_are_restart_points(data):
    whole = records(data)
    for block in read_blocks(io.BytesIO(data), COMMA, True, 1, 3):
        rest = records(data[block.used :], first_line=block.next_line)
        assert records(data[: block.used]) + rest == whole


@given(hostile_text, st.booleans())
@settings(max_examples=400, deadline=None)
def test_parity_matches_walk(data, final):
    assume(data)
    sure = find_records_by_parity(data, COMMA, final, MAX_RECORD_BYTES)
    walked = find_quoted_records(data, COMMA, final, MAX_RECORD_BYTES)
    if sure is None:
        return
    # With more data to come, the walk may already accept more records.
    count, marks = len(sure.starts), len(sure.opens)
    assert sure.starts.tolist() == walked.starts[:count].tolist()
    assert sure.ends.tolist() == walked.ends[:count].tolist()
    assert not walked.faults[:count].any()
    assert sure.opens.tolist() == walked.opens[:marks].tolist()
    assert sure.closes.tolist() == walked.closes[:marks].tolist()
    assert sure.used == walked.used if final else sure.used <= walked.used


@given(hostile_text)
@settings(max_examples=400, deadline=None)
def test_only_line_ends_are_dropped(data):
    text = b"".join(raw for _, raw, _ in records(data))
    assert text.translate(None, b"\r\n") == data.translate(None, b"\r\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"a\r\nb", [(1, b"a", ""), (2, b"b", "")]),
        (b'"a\nb",c\nd', [(1, b'"a\nb",c', ""), (3, b"d", "")]),
        (b'a"b,c\nd"e,f\n', [(1, b'a"b,c', ""), (2, b'd"e,f', "")]),
        (b'"a" x,b\nc,d\n', [(1, b'"a" x,b', "text after the closing quotation mark of a field"), (2, b"c,d", "")]),
        (b'"a,b\nc,d\n', [(1, b'"a,b', "quoted field does not end"), (2, b"c,d", "")]),
        (b'"a,b\nc,d\n"e",f\n', [(1, b'"a,b', "quoted field does not end"), (2, b"c,d", ""), (3, b'"e",f', "")]),
        (b"a\rb\nc\n", [(1, b"a\rb", "carriage return that does not end a line"), (2, b"c", "")]),
        (b'"a\rb"\r\n', [(1, b'"a\rb"', "")]),
    ],
)
def test_record_boundaries_and_faults(text, expected):
    assert records(text) == expected


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("block_bytes", [7, 64, 1 << 20])
def test_endless_line_is_truncated(quoted, block_bytes):
    found = records(b"a,b\n" + b"x" * 500 + b"\nc,d\n", quoted, block_bytes, max_record=100)
    assert [(line, fault) for line, _, fault in found] == [(1, ""), (2, FAULTS[1]), (3, "")]
    assert found[1][1].startswith(b"x" * 100)


def test_unquoted_dialect_ignores_quotes():
    assert records(b'"a\nb",c\n', quoted=False) == [(1, b'"a', ""), (2, b'b",c', "")]


def test_block_arrays_are_uint8():
    (block,) = read_blocks(io.BytesIO(b"a,b\n"), COMMA, True)
    assert block.data.dtype == np.uint8 and block.faults.dtype == np.uint8
