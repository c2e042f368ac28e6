"""Each kind of id that looks like a mistake, against a plain Python oracle, and ordinary ids without a warning."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen.suspicious.ids import MISSING_WORDS, Side, header, in_ids


def side(*ids: str, rows: int | list[int] = 3) -> Side:
    counts = np.full(len(ids), rows) if isinstance(rows, int) else np.array(rows)
    return Side("data.columns.left", pa.array(ids, pa.large_string()), counts)


def kinds(of: Side) -> dict[str, int]:
    return {warning.kind: warning.count for warning in in_ids(of)}


_WORDS = [first + second for first in ("thread", "lock", "stone", "door", "rain") for second in "abcdefghij"]


@pytest.mark.parametrize(
    "ids",
    [
        [str(number) for number in range(1, 200)],
        ["Nancy", "Nullarbor", "Polish", "polish", "null", "nan", *_WORDS],
        [f"u{i}" for i in range(100)],
        ["-1", "0", "10", "100", "1.5", "2.50"],
        ["日本", "été", "a b", "it's", '5" disk', "d'Artagnan"],
        ["b4c1f3a0-4a0e-4d43-9a4e-7c3d4a2b1f00", "00000000-4a0e-4d43-9a4e-7c3d4a2b1f00"],
        [],
    ],
    ids=str,
)
def test_ordinary_ids_have_no_warning(ids: list[str]) -> None:
    assert kinds(side(*ids)) == {}


@pytest.mark.parametrize(
    ("ids", "kind", "found"),
    [
        (['"a"', '"b"', '"c d"'], "wrapped", 3),
        (["'a'", "'b'"], "wrapped", 2),
        (["a", "NA", "null", "\\N"], "missing_words", 3),
        ([" a", "b", "c "], "blanks", 2),
        (["\ufeffa", "b", "c\u200b"], "blanks", 2),
        (["4", "4.0", "5", "007", "7"], "number_spellings", 2),
        (["caf\u00e9", "cafe\u0301", "tea"], "unicode_forms", 2),
        (["Ann", "ann", "Bob", "bob", "Eve"], "case", 4),
    ],
    ids=str,
)
def test_a_mistake_is_found(ids: list[str], kind: str, found: int) -> None:
    assert kinds(side(*ids)) == {kind: 3 * found}


def test_a_warning_names_ids_and_counts_rows() -> None:
    (warning,) = in_ids(side("u1", "NA", "null", "None", "nan", rows=[9, 4, 3, 2, 1]))
    assert warning.column == "data.columns.left" and warning.count == 10
    assert warning.examples == ["NA", "null", "None"]
    assert "'NA', 'null', 'None' and 1 more ids of 10 rows look like missing values" in str(warning)


def test_one_id_without_quotation_marks_is_enough_for_no_warning() -> None:
    assert kinds(side('"a"', '"b"', "c")) == {}
    assert kinds(side('"', '"a"')) == {}


def test_ids_that_nearly_all_occur_once_look_like_row_numbers() -> None:
    ids = [f"r{number}" for number in range(1000)]
    assert kinds(side(*ids, rows=1)) == {"ids_that_occur_once": 1000}
    assert kinds(side(*ids, rows=[2] * 20 + [1] * 980)) == {}
    assert kinds(side(*ids[:500], rows=1)) == {}  # too few rows to tell


def test_a_header_among_the_rows_is_found() -> None:
    left, right = side("u1", "u2", "user_id", rows=[60, 60, 1]), side("m1", "movieId", rows=[120, 1])
    warning = header(left, right)
    assert warning is not None and warning.count == 1 and warning.examples == ["user_id", "movieId"]
    assert header(left, side("m1", "m2")) is None
    # Ids of different numbers of rows are not from the same rows, and frequent ids are entities.
    assert header(left, side("m1", "movieId", rows=[119, 2])) is None
    assert header(side("from", "to", rows=[50, 70]), side("item", "product", rows=[50, 70])) is None


def is_word(id_: str) -> bool:
    return re.fullmatch("[a-z]+", id_) is not None


def _oracle(ids: list[str], rows: list[int]) -> dict[str, int]:
    """Rows of each kind by the definitions, an id at a time."""
    count = dict(zip(ids, rows, strict=True))
    few_words = sum(map(is_word, ids)) <= 0.8 * len(ids)
    invisible = "\u200b\ufeff\u00a0 \t\n\v\f\r"
    whole = {id_: re.fullmatch(r"(-?)0*([0-9]+)(\.0*)?", id_) for id_ in ids}
    plain = {id_: match[1] + match[2] for id_, match in whole.items() if match}
    forms = Counter(unicodedata.normalize("NFC", id_) for id_ in ids)
    found = {
        "missing_words": [id_ for id_ in ids if id_ in MISSING_WORDS and (few_words or not is_word(id_))],
        "blanks": [id_ for id_ in ids if id_[0] in invisible or id_[-1] in invisible],
        "number_spellings": [id_ for id_ in ids if id_ in plain and plain[id_] != id_ and plain[id_] in count],
        "unicode_forms": [id_ for id_ in ids if forms[unicodedata.normalize("NFC", id_)] > 1],
    }
    return {kind: sum(count[id_] for id_ in some) for kind, some in found.items() if some}


_texts = st.one_of(
    st.sampled_from(["4", "4.0", "04", "-4", "NA", "null", "e\u0301", "\u00e9", " x", "x\u00a0", "\ufeff", "1.", "00"]),
    st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=("Cs",)), min_size=1, max_size=4),
)


@given(st.dictionaries(_texts, st.integers(1, 5), min_size=1, max_size=12))
def test_the_rows_of_each_kind_are_those_of_the_definition(counts: dict[str, int]) -> None:
    ids = [id_ for id_ in counts if "\x00" not in id_]
    if not ids:
        return
    rows = [counts[id_] for id_ in ids]
    found = kinds(side(*ids, rows=rows))
    assert {kind: found[kind] for kind in found if kind not in ("wrapped", "case")} == _oracle(ids, rows)
