"""Ids that look like a mistake, found in the tables of distinct ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.suspicious.warning import DataWarning
from trainer.data.examples import Entities

# What programs write for a missing value: the list of pandas, and Hive's \N.
MISSING_WORDS = (
    "#N/A", "#N/A N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "\\N",
)  # fmt: skip
# The usual names of the columns of pairs, in lower case.
HEADER_WORDS = (
    "user", "user_id", "userid", "item", "item_id", "itemid", "movie", "movie_id", "movieid", "film", "left", "left_id",
    "right", "right_id", "source", "target", "src", "dst", "from", "to", "id", "query", "product", "product_id",
)  # fmt: skip
_ROWS_PER_HEADER = 50
_QUOTES = ('"', "'", "`")
_BLANK = r"[\s\v\x{200B}\x{FEFF}\x{00A0}]"
_ENDS = f"^{_BLANK}|{_BLANK}$"
_NUMBER = r"^(-?)0*(\d+)(?:\.0*)?$"
_WORD, _MOSTLY = "^[a-z]+$", 0.8
_SHOWN = 3
# Ids that differ only in case are usual among words. They are reported if they are at least this share of all ids.
_LEAST_SHARE_OF_CASE = 0.05
# A side on which this share of the ids occurs once has no entity to learn from.
_ONCE, _LEAST_ROWS = 0.99, 1000


@dataclasses.dataclass(frozen=True)
class Side:
    """The distinct ids of a side.

    Attributes:
      column: key of the column in the pipeline file.
      ids: large_string `[n]`.
      rows: number of rows of each id in all splits, int64 `[n]`.
    """

    column: str
    ids: pa.Array
    rows: np.ndarray

    @classmethod
    def of(cls, name: str, entities: Entities) -> Side:
        """Returns the ids of `left` or `right`."""
        rows = np.sum(list(entities.counts.values()), axis=0)
        return cls(f"data.columns.{name}", entities.ids.cast(pa.large_string()), rows)


def in_ids(side: Side) -> Iterator[DataWarning]:
    """Yields the warnings about one side."""
    if not len(side.ids):
        return
    for find in (_wrapped, _missing, _ends, _numbers, _forms, _case, _once):
        found = find(side)
        if found:
            yield found


def header(left: Side, right: Side) -> DataWarning | None:
    """Returns the warning about rows whose ids are names of columns."""
    # Each of these rows has both names. Frequent ids are entities.
    lefts, rights = _names(left), _names(right)
    count = min(lefts.keys() & rights.keys(), default=0)
    if not count or count * _ROWS_PER_HEADER > left.rows.sum():
        return None
    ids = [left.ids[lefts[count]].as_py(), right.ids[rights[count]].as_py()]
    return DataWarning(
        "header", "data.columns", count, ids,
        f"{_quoted(ids)} look like the names of the columns, but are ids of {_rows(count)}. Remove the header lines "
        "inside the data, or name the columns",
    )  # fmt: skip


def _names(side: Side) -> dict[int, int]:
    """Returns the places of the ids that are names of columns, by their number of rows."""
    places = np.flatnonzero(_mask(pc.is_in(pc.utf8_lower(side.ids), pa.array(HEADER_WORDS, pa.large_string()))))
    return {int(side.rows[place]): int(place) for place in places}


def _wrapped(side: Side) -> DataWarning | None:
    for quote in _QUOTES:
        wrapped = pc.and_(pc.starts_with(side.ids, quote), pc.ends_with(side.ids, quote))
        if pc.all(wrapped).as_py() and pc.all(pc.greater(pc.binary_length(side.ids), 1)).as_py():
            return _warning(
                "wrapped", side, np.ones(len(side.ids), bool),
                f"every id begins and ends with {quote}, which a client must send as well. Set data.quoting: double, "
                "or remove the quotation marks",
            )  # fmt: skip
    return None


def _missing(side: Side) -> DataWarning | None:
    missing = _mask(pc.is_in(side.ids, pa.array(MISSING_WORDS, pa.large_string())))
    words = _mask(pc.match_substring_regex(side.ids, _WORD))
    if np.count_nonzero(words) > _MOSTLY * len(words):
        missing &= ~words  # nan and null are English words
    return _warning(
        "missing_words", side, missing,
        "{ids} of {rows} look like missing values, but are entities like any other. Remove these rows if they are none",
    )  # fmt: skip


def _ends(side: Side) -> DataWarning | None:
    ends = _mask(pc.match_substring_regex(side.ids, _ENDS))
    return _warning(
        "blanks", side, ends,
        "{ids} of {rows} begin or end with a blank or an invisible character, which is part of the id",
    )  # fmt: skip


def _numbers(side: Side) -> DataWarning | None:
    plain = pc.replace_substring_regex(side.ids, _NUMBER, r"\1\2")
    changed = _mask(pc.not_equal(plain, side.ids))
    if not changed.any():
        return None
    changed[changed] = _mask(pc.is_in(plain.filter(pa.array(changed)), side.ids))
    return _warning(
        "number_spellings", side, changed,
        "{ids} of {rows} are whole numbers that are also there in another spelling, such as 4 and 4.0. Each spelling "
        "is an entity of its own",
    )  # fmt: skip


def _forms(side: Side) -> DataWarning | None:
    same = _repeated(pc.utf8_normalize(side.ids, "NFC"))
    return _warning(
        "unicode_forms", side, same,
        "{ids} of {rows} are the same text in different Unicode forms. Each form is an entity of its own. Write all "
        "ids in the form NFC",
    )  # fmt: skip


def _case(side: Side) -> DataWarning | None:
    same = _repeated(pc.utf8_lower(side.ids))
    if np.count_nonzero(same) < max(_LEAST_SHARE_OF_CASE * len(same), 2):
        return None
    return _warning(
        "case", side, same,
        "{ids} of {rows} differ from another id only in case. Each spelling is an entity of its own",
    )  # fmt: skip


def _once(side: Side) -> DataWarning | None:
    once = side.rows == 1
    if side.rows.sum() < _LEAST_ROWS or np.count_nonzero(once) < _ONCE * len(once):
        return None
    return _warning(
        "ids_that_occur_once", side, once,
        "{ids} of {rows} occur in one row only, so that nothing can be learned about them. Is the column a row number?",
    )  # fmt: skip


def _repeated(texts: pa.Array) -> np.ndarray:
    """Returns whether each text occurs more than once, bool `[n]`."""
    codes = texts.dictionary_encode().indices.to_numpy()
    return np.asarray(np.bincount(codes, minlength=1)[codes] > 1)


def _warning(kind: str, side: Side, found: np.ndarray, text: str) -> DataWarning | None:
    """Returns the warning about the ids of a mask, bool `[n]`, or None if there are none."""
    places = np.flatnonzero(found)
    if not len(places):
        return None
    rows = int(side.rows[places].sum())
    examples = side.ids.take(pa.array(places[:_SHOWN])).to_pylist()
    words = text.format(ids=f"{_quoted(examples)}{_more(len(places))}", rows=_rows(rows))
    return DataWarning(kind, side.column, rows, examples, words)


def _more(ids: int) -> str:
    return f" and {ids - _SHOWN:,} more ids" if ids > _SHOWN else ""


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _quoted(ids: list[str]) -> str:
    return ", ".join(repr(id_) for id_ in ids)


def _mask(values: pa.Array) -> np.ndarray:
    return np.array(values.to_numpy(zero_copy_only=False), bool)
