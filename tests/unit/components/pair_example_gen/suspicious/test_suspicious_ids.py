"""Rules about the spelling of ids, against plain Python that looks at one id at a time."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen.suspicious.ids import NULL_WORDS, SpelledIds, spelling_warnings
from components.pair_example_gen.suspicious.numerals import usual_spelling
from components.pair_example_gen.suspicious.warning import DataWarning
from trainer.data.examples import Entities

pytestmark = pytest.mark.tensorflow

ORDINARY = [f"u{number}" for number in range(40)]
WORDS = "able bake cake dare each fair gate hand iron jade keen lamp mast none null".split()


def spelled(names: list[str], rows: list[int] | None = None) -> SpelledIds:
    counts = np.array(rows or [1] * len(names), np.int64)
    ids = pa.array([name.encode() for name in names], pa.large_binary())
    return SpelledIds("left", Entities(ids, {"train": counts, "eval": np.zeros(len(names), np.int64)}))


def found(names: list[str], rows: list[int] | None = None) -> dict[str, DataWarning]:
    return {warning.kind: warning for warning in spelling_warnings(spelled(names, rows))}


@pytest.mark.parametrize(
    "names",
    [
        ORDINARY,
        [str(number) for number in range(1, 944)],
        [f"{number:05d}" for number in range(50)],
        [str(10**18 + 7 * number) for number in range(30)],
        WORDS,
        ["Polish", "polish", *(first + second for first in WORDS for second in WORDS)],
        ["The", "Matrix", "Heat", "Alien", "None", "Brazil"],
        ["DE", "FR", "NA", "US", "ZW"],
        ["0.5", "0.75", "1.25"],
        ["aX3", "Ax3", "bQ9z", "q1Zt"],
        ["Amélie (2001)", "Kika (1993)", '"Great" Performances', "M*A*S*H", "3:10 to Yuma", "नमस्ते", "👨\u200d👩"],
        ["São Paulo", "CORAÇÃO", "Â", "naïve"],
        ["[UNK]", "<s>", "</s>", ".", "?", "-"],
        [f"item {number} is of 1.0" for number in range(20)],
    ],
)
def test_ordinary_ids_give_no_warning(names: list[str]) -> None:
    assert not found(names)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("missing_words", ["NA"]),
        ("missing_words", ["null", "None", "nan", "\\N", "N/A", "#N/A", "NaN", "undefined"]),
        ("missing_words", [" NA "]),
        ("blanks", [" u1"]),
        ("blanks", ["u1 ", "\u00a0u2", "  "]),
        ("invisible_characters", ["a\tb"]),
        ("invisible_characters", ["\ufeffu1", "u\u200b2", "nul\x00", "u\x7f"]),
        ("misread_text", ["AmÃ©lie", "caf\ufffd", "it\u00e2\u20ac\u2122s"]),
        ("rounded_numbers", ["1.23457E+12", "1e+05"]),
        ("case", ["Kika", "kika", "KIKA"]),
        ("unicode_forms", ["\u00e9", "e\u0301"]),
    ],
)
def test_each_kind_counts_its_ids_and_shows_them(kind: str, bad: list[str]) -> None:
    rows = [3] * len(ORDINARY) + list(range(2, 2 + len(bad)))
    warning = found([*ORDINARY, *bad], rows)[kind]
    assert (warning.count, warning.column) == (sum(rows[-len(bad) :]), "data.columns.left")
    assert f"{len(bad)} of {len(ORDINARY) + len(bad)} ids" in warning.text
    assert len(warning.examples) == min(5, len(bad)) and set(warning.examples) <= set(bad)
    shown = dict(zip(bad, rows[-len(bad) :], strict=True))
    assert all(f"{name!r} ({shown[name]} rows)" in warning.text for name in warning.examples)


def test_wrapped_ids_are_reported_where_nearly_all_are() -> None:
    assert found([f'"{name}"' for name in ORDINARY])["wrapped"].count == len(ORDINARY)
    assert found([f"'{name}'" for name in ORDINARY] + ["x"])["wrapped"].count == len(ORDINARY)
    assert not found([*ORDINARY, '"so called"', "'s'"])


def test_null_word_among_words_is_reported_only_if_nothing_is_more_frequent() -> None:
    rows = [2] * len(WORDS)
    rows[WORDS.index("null")] = 50
    assert found(WORDS, rows)["missing_words"].examples == ["null"]
    # Other spellings are no words.
    assert found([*WORDS, "NULL"])["missing_words"].examples == ["NULL"]


def test_numbers_with_several_spellings() -> None:
    both = [str(number) for number in range(30)] + [f"{number}.0" for number in range(20, 50)]
    # 20.0 to 29.0 are also 20 to 29. All others that end in .0 are spelled differently from the rest.
    assert found(both)["number_spellings"].count == 40
    assert found(["1", "1.0", "01", *ORDINARY])["number_spellings"].count == 3
    assert found([*map(str, range(100)), "07"])["number_spellings"].examples == ["7", "07"]


def test_numbers_of_a_text_are_no_ids() -> None:
    years = [str(number) for number in range(1900, 1950)]
    text = [f"word{number}" for number in range(100)]
    assert not found([*text, *years, "1900.0"])


def test_ids_that_all_end_in_point_zero() -> None:
    assert found([f"{number}.0" for number in range(30)]).keys() == {"decimal_ids"}
    assert not found(["0.5", *(f"{number}.0" for number in range(8))])


def test_variants_are_shown_in_groups() -> None:
    warning = found([*ORDINARY, "Kika", "kika", "Heat", "HEAT"], [1] * 40 + [5, 1, 4, 3])["case"]
    assert warning.examples == ["Heat", "HEAT", "Kika", "kika"]
    assert warning.text.endswith("'Heat' (4 rows), 'HEAT' (3 rows), 'Kika' (5 rows), 'kika' (1 row)")


def test_ids_stay_as_they_are_and_long_ones_are_cut() -> None:
    names = ["x" * 500 + " ", *ORDINARY]
    ids = spelled(names)
    (warning,) = spelling_warnings(ids)
    assert ids.text.to_pylist() == names
    assert len(warning.examples[0]) == 60 and len(str(warning)) < 250


_CHARACTERS = st.sampled_from(list("aA1.0+-eE \té\u0301\u200b\"'N"))
_names = st.lists(st.text(_CHARACTERS, min_size=1, max_size=5), min_size=1, max_size=12, unique=True)


def _members(names: list[str], key: Callable[[str], str]) -> set[str]:
    groups = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return {name for group in groups.values() if len(group) > 1 for name in group}


@given(names=_names)
def test_rules_equal_those_of_plain_python(names: list[str]) -> None:
    usual = [name for name in names if name in (name.lower(), name.upper(), name.capitalize(), name.title())]
    expected = {
        "missing_words": {name for name in names if name.strip() in NULL_WORDS},
        "blanks": {name for name in names if name != name.strip()},
        "invisible_characters": {name for name in names if set("\t\u200b") & set(name.strip())},
        "case": _members(usual, str.lower),
        "unicode_forms": _members(names, lambda name: unicodedata.normalize("NFC", name)),
    }
    counts = {kind: warning.count for kind, warning in found(names).items() if kind in expected}
    assert counts == {kind: len(members) for kind, members in expected.items() if members}


_digits = st.text(st.sampled_from("0012"), max_size=4)
_numbers = st.builds(
    lambda sign, whole, point, part, exponent: f"{sign}{whole or '0'}{point}{part if point else ''}{exponent}",
    st.sampled_from(["", "+", "-"]), _digits, st.sampled_from(["", "."]), _digits, st.sampled_from(["", "e1", "E-2"]),
)  # fmt: skip


@given(numbers=st.lists(_numbers, min_size=1, max_size=8))
def test_one_spelling_for_each_number(numbers: list[str]) -> None:
    spelled_usually = usual_spelling(pa.array(numbers, pa.large_string())).to_pylist()
    values = [Decimal(number) for number in numbers]
    assert [Decimal(text) for text in spelled_usually] == values
    for text, value in zip(spelled_usually, values, strict=True):
        assert all((text == other) == (value == of) for other, of in zip(spelled_usually, values, strict=True))
