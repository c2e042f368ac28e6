"""A document in pieces of any size equals the document in one piece."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server import json_pieces
from serving.model_server.faults import Fault

LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.text('[]{},:"\\ a', max_size=9)
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=5),
    max_leaves=40,
)


def parse(body: bytes, size: int) -> Any:
    with mock.patch.object(json_pieces, "PIECE_BYTES", size):
        return json_pieces.parse(body, orjson.loads)


@given(DOCUMENTS, st.integers(1, 60), st.sampled_from([None, 0, 1]), st.booleans())
def test_pieces_equal_the_whole(document: Any, size: int, indent: int | None, plain: bool) -> None:
    body = json.dumps({"inputs": document, "more": [1, 2]}, indent=indent, ensure_ascii=plain).encode()
    assert parse(body, size) == json.loads(body)


@given(DOCUMENTS, st.integers(1, 40), st.integers(0, 400), st.sampled_from(list('[]{},:"\\ 1x')), st.booleans())
def test_what_is_not_json_is_refused(document: Any, size: int, at: int, sign: str, insert: bool) -> None:
    """One character is added or replaced. What strict JSON refuses is refused, except text after the end.

    Half of a surrogate pair is refused too. Python's decoder accepts it.
    """
    text = json.dumps({"inputs": document, "more": [1, 2]})
    at = min(at, len(text) - 1)
    body = (text[:at] + sign + text[at + (not insert) :]).encode()
    try:
        expected, end = json.JSONDecoder(strict=True).raw_decode(body.decode().lstrip())
    except ValueError:
        with pytest.raises((Fault, ValueError)):
            parse(body, size)
        return
    more = body.decode().lstrip()[end:].strip()
    try:
        found = parse(body, size)
    except (Fault, ValueError):
        assert more or not _is_unicode(expected)
        return
    assert found == expected or more


def _is_unicode(document: Any) -> bool:
    """Returns whether no string of a document has half of a surrogate pair."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises((Fault, ValueError)):
        parse(rb'{"inputs": {"0\ud800[\udc00": null}, "more": [1, 2]}', 1)


def test_deep_nesting_is_refused() -> None:
    for body in (b'{"a": ' + b"[" * 300_000, b'{"a": ' + b"[1," * 100_000, b'{"a":[0,' * 50_000):
        with pytest.raises((Fault, ValueError)):
            parse(body, 1000)


def test_long_string_is_one_piece() -> None:
    body = json.dumps({"a": ["x,[" * 1000, 1], "b": "\\" * 3001 + ","}).encode()
    assert parse(body, 100) == json.loads(body)


@pytest.mark.parametrize("shape", ["flat", "one row", "rows", "objects"])
def test_no_piece_is_large(shape: str) -> None:
    """The parser holds the global lock for one piece at a time, whatever the shape of the document."""
    numbers = [i / 7 for i in range(60_000)]
    inputs: Any = {
        "flat": numbers,
        "one row": [numbers],
        "rows": [numbers[at : at + 10] for at in range(0, len(numbers), 10)],
        "objects": [{"a": number, "b": ["x"]} for number in numbers],
    }[shape]
    body = orjson.dumps({"signature_name": "s", "inputs": inputs})
    sizes: list[int] = []

    def parse_piece(piece: bytes) -> Any:
        sizes.append(len(piece))
        return orjson.loads(piece)

    assert json_pieces.parse(body, parse_piece) == orjson.loads(body)
    assert max(sizes) < json_pieces.PIECE_BYTES + 1000
    assert len(sizes) > len(body) // json_pieces.PIECE_BYTES
