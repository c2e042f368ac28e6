"""Rules about which ids a side has: header rows, row numbers, one id for all, and the same ids on both sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.settings import ColumnSettings
from components.pair_example_gen.suspicious.ids import SpelledIds, null_words, shortened
from components.pair_example_gen.suspicious.scores import Blocks
from components.pair_example_gen.suspicious.warning import DataWarning

_LEAST_ROWS, _LEAST_IDS = 100, 20
# A side whose ids are new in this share of its rows has an id for each row.
_UNIQUE = 0.99
_SAME_SIDES = 0.9
# user_id, userId, UserID, "# FromNodeId"
_COLUMN_NAME = r"^#?\s*(\w+[ _-][Ii][Dd]|[A-Za-z]*[a-z]I[dD])$"
_HEADERS = 5


@dataclasses.dataclass(frozen=True)
class Sides:
    """The ids of both sides.

    Attributes:
      left: ids.
      right: ids.
      blocks: returns the rows of all splits, always in the same order.
      files: number of input files.
    """

    left: SpelledIds
    right: SpelledIds
    blocks: Blocks
    files: int

    @property
    def both(self) -> tuple[SpelledIds, SpelledIds]:
        """Left and right."""
        return self.left, self.right


def side_warnings(sides: Sides, columns: ColumnSettings, shared: bool) -> Iterator[DataWarning]:
    """Yields a warning for each rule that the ids of a side break.

    Args:
      sides: the ids and rows.
      columns: the columns of the files.
      shared: whether both sides have one table.
    """
    yield from _headers(sides, columns)
    for ids in sides.both:
        yield from _row_numbers(ids)
        yield from _one_for_all(ids)
    if not shared:
        yield from _same_ids(sides)


def _headers(sides: Sides, columns: ColumnSettings) -> Iterator[DataWarning]:
    """Yields a warning if a line of column names was read as a pair.

    Its ids occur in no other row than such lines. They are the configured names, both look like names of id columns,
    or the left one (or the right one) is the only id of more than 20 that is no number, with at most a row a file.
    """
    pairs = [
        *_pairs_of(sides, _suspects(sides.left, columns), _suspects(sides.right, columns), both=True),
        *_pairs_of(sides, _only_text(sides.left, sides.files), np.zeros(len(sides.right), bool), both=False),
        *_pairs_of(sides, np.zeros(len(sides.left), bool), _only_text(sides.right, sides.files), both=False),
    ]
    for (left, right), count in dict(pairs).items():
        names = [shortened(ids.text[code].as_py()) for ids, code in ((sides.left, left), (sides.right, right))]
        looks = "1 row looks" if count == 1 else f"{count:,} rows look"
        text = (
            f"{looks} like a header that was read as a pair: {names[0]!r}, {names[1]!r}. Remove the line, or name the "
            "columns in data.columns"
        )
        yield DataWarning("header", "data.columns", count, names, text)


def _suspects(ids: SpelledIds, columns: ColumnSettings) -> np.ndarray:
    """Returns which ids look like the name of a column of ids, bool `[n]`."""
    found = ids.where(_COLUMN_NAME)
    name = getattr(columns, ids.side)
    if isinstance(name, str):
        found |= np.asarray(pc.equal(ids.text, pa.scalar(name, pa.large_string())).to_numpy(zero_copy_only=False))
    return found


def _only_text(ids: SpelledIds, files: int) -> np.ndarray:
    """Returns the mask of the only id of more than 20 that is no number, with at most a row a file, or of none."""
    other = ~ids.numerals.numbers
    if len(ids) <= _LEAST_IDS or other.sum() != 1:
        return np.zeros(len(ids), bool)
    return other & ~null_words(ids) & (ids.rows <= files)


def _pairs_of(sides: Sides, left: np.ndarray, right: np.ndarray, both: bool) -> list[tuple[tuple[int, int], int]]:
    """Returns pairs of codes with their number of rows, of ids in masks that occur in no other row.

    Args:
      sides: the ids and rows.
      left: mask of left ids.
      right: mask of right ids.
      both: whether both ids of a pair must be in the masks, or one.
    """
    if not (left.any() and right.any() if both else left.any() or right.any()):
        return []
    if max(left.sum(), right.sum()) > 100 * _HEADERS:
        return []
    found: dict[tuple[int, int], int] = {}
    for rows in sides.blocks():
        chosen = left[rows.left] & right[rows.right] if both else left[rows.left] | right[rows.right]
        for row in np.flatnonzero(chosen).tolist():
            pair = int(rows.left[row]), int(rows.right[row])
            found[pair] = found.get(pair, 0) + 1
    alone = [
        (pair, count)
        for pair, count in found.items()
        if (not left[pair[0]] or sides.left.rows[pair[0]] == count)
        and (not right[pair[1]] or sides.right.rows[pair[1]] == count)
    ]
    return alone[:_HEADERS]


def _row_numbers(ids: SpelledIds) -> Iterator[DataWarning]:
    rows = int(ids.rows.sum())
    if rows >= _LEAST_ROWS and len(ids) >= _UNIQUE * rows:
        yield ids.warning(
            "ids_that_occur_once",
            np.ones(len(ids), bool),
            "{ids} of {rows} are distinct, as if each row had its own number. Nothing can be learned about an entity "
            "with one row. Check the column",
        )


def _one_for_all(ids: SpelledIds) -> Iterator[DataWarning]:
    rows = int(ids.rows.sum())
    if rows < _LEAST_ROWS or len(ids) <= _LEAST_IDS:
        return
    most = ids.rows == ids.rows.max()
    if ids.rows.max() > rows / 2:
        yield ids.warning(
            "one_id_for_many",
            most,
            f"more than half of all {rows:,} rows have the same id, such as one that stands for unknown users. If so, "
            "leave these rows out",
        )


def _same_ids(sides: Sides) -> Iterator[DataWarning]:
    """Yields a warning if both sides have the same ids.

    Whole numbers without gaps, such as rows 1 to 1,000 of two different tables, do not count, unless pairs of an id
    with itself are much rarer than by chance, as in a graph without loops.
    """
    small, large = sorted(sides.both, key=len)
    if len(small) < _LEAST_IDS or len(small) < _SAME_SIDES * len(large):
        return
    place = pc.index_in(sides.left.entities.ids, value_set=sides.right.entities.ids)
    partner = place.fill_null(-1).to_numpy(zero_copy_only=False)
    common = int(np.count_nonzero(partner >= 0))
    if common < _SAME_SIDES * (len(sides.left) + len(sides.right) - common):
        return
    if _are_row_numbers(small) and not _has_no_loops(sides, partner):
        return
    text = (
        f"{common:,} ids are on both sides, of {len(sides.left):,} left and {len(sides.right):,} right ids. If an id "
        "is the same entity on both sides, set encode.shared: true"
    )
    places = sides.left.most_frequent(partner >= 0)
    names = [shortened(name) for name in sides.left.text.take(pa.array(places)).to_pylist()]
    yield DataWarning("same_ids", "data.columns", int(sides.left.rows[partner >= 0].sum()), names, text)


def _are_row_numbers(ids: SpelledIds) -> bool:
    if not ids.numerals.plain.all() or pc.max(pc.binary_length(ids.text)).as_py() > 18:
        return False
    numbers = ids.text.cast(pa.int64())
    extent = pc.min_max(numbers).as_py()
    return bool(extent["max"] - extent["min"] < 2 * len(ids))


def _has_no_loops(sides: Sides, partner: np.ndarray) -> bool:
    """Returns whether fewer than a tenth of the expected pairs of an id with itself are there, of at least 20."""
    rows = int(sides.left.rows.sum())
    shared = np.flatnonzero(partner >= 0)
    expected = float((sides.left.rows[shared] / rows * sides.right.rows[partner[shared]]).sum())
    if expected < 20:
        return False
    loops = sum(int(np.count_nonzero(partner[block.left] == block.right)) for block in sides.blocks())
    return loops < expected / 10
