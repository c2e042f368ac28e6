"""Checks rows against the rules. Bad rows go to the quarantine with their reason."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.numbers import is_utf8, parse_numbers, parse_times
from components.pair_example_gen.rows import RawRows, RowPositions, quarantined
from components.pair_example_gen.settings import ColumnSettings, IngestSettings
from trainer import features

TIME = features.TIME
# Of a given split: whether the row is an eval row.
IN_EVAL = "in_eval"


@dataclasses.dataclass(frozen=True)
class Checked:
    """Good and bad rows.

    Attributes:
      pairs: good rows, with schema `pairs_schema`.
      positions: positions of the good rows.
      bad: bad rows, with schema QUARANTINE.
      numbers_as_time: some times of good rows are numbers.
      dates_as_time: some times of good rows are dates.
    """

    pairs: pa.Table
    positions: RowPositions
    bad: pa.Table
    numbers_as_time: bool = False
    dates_as_time: bool = False


def pairs_schema(columns: ColumnSettings, weighted: bool = False) -> pa.Schema:
    """Returns the columns of good rows: ids binary, score and weight float32, time float64, fold as a bool.

    Args:
      columns: the columns of the files.
      weighted: whether rows have weights without a column of weights.
    """
    fields = [(features.LEFT_ID, pa.binary()), (features.RIGHT_ID, pa.binary())]
    if columns.score is not None:
        fields.append((features.SCORE, pa.float32()))
    if weighted or columns.weight is not None:
        fields.append((features.WEIGHT, pa.float32()))
    if columns.time is not None:
        fields.append((TIME, pa.float64()))
    if columns.fold is not None:
        fields.append((IN_EVAL, pa.bool_()))
    return pa.schema(fields)


def encode_ids(pairs: pa.Table) -> pa.Table:
    """Returns `pairs` in one chunk, with ids as dictionary arrays: each distinct id once, and codes of the rows."""
    for at, name in enumerate((features.LEFT_ID, features.RIGHT_ID)):
        pairs = pairs.set_column(at, name, pairs[name].combine_chunks().dictionary_encode())
    return pairs.combine_chunks()


class RowRules:
    """The rules of one pipeline file."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._schema = pairs_schema(settings.columns)

    def check(self, file: str, rows: RawRows) -> Checked:
        """Separates good rows from bad ones. The reason of a bad row is the first rule that it breaks."""
        faults = Faults(len(rows))
        for side in ("left", "right"):
            self._check_id(faults, side, rows.columns[side])
        columns = [_without_nulls(rows.columns["left"]), _without_nulls(rows.columns["right"])]
        if "score" in rows.columns:
            columns.append(self._score(faults, rows.columns["score"]))
        if "weight" in rows.columns:
            columns.append(_weight(faults, rows.columns["weight"]))
        dates = np.zeros(0, bool)
        if "time" in rows.columns:
            times, valid, dates = parse_times(rows.columns["time"])
            faults.mark(~valid, "time is neither a number nor an ISO 8601 date")
            columns.append(pa.array(times))
            dates = dates[faults.codes == 0]
        if "fold" in rows.columns:
            columns.append(self._in_eval(faults, rows.columns["fold"]))
        pairs = pa.Table.from_arrays(columns, schema=self._schema)
        kinds = {"numbers_as_time": bool((~dates).any()), "dates_as_time": bool(dates.any())}
        if not faults.any():
            return Checked(pairs, rows.positions, rows.broken, **kinds)
        good, bad = np.flatnonzero(faults.codes == 0), np.flatnonzero(faults.codes)
        set_aside = quarantined(file, rows.positions.take(bad), faults.reasons(bad), rows.raw(bad))
        table = pa.concat_tables([set_aside, rows.broken])
        return Checked(pairs.take(pa.array(good)), rows.positions.take(good), table, **kinds)

    def _check_id(self, faults: Faults, side: str, ids: pa.Array) -> None:
        check_id(faults, f"{side} id", ids, self._settings.max_id_bytes, self._settings.null_words)

    def _in_eval(self, faults: Faults, column: pa.Array) -> pa.Array:
        folds = fold_names(column)
        if self._settings.split.by == "column":
            faults.mark(pc.equal(pc.binary_length(folds), 0).to_numpy(zero_copy_only=False), "fold is empty")
        wanted = [
            str(fold).lower() if isinstance(fold, bool) else str(fold) for fold in self._settings.split.eval_folds
        ]
        return pc.is_in(folds, value_set=pa.array([fold.encode() for fold in wanted], pa.binary()))

    def _score(self, faults: Faults, column: pa.Array) -> pa.Array:
        values, valid = parse_numbers(column, with_booleans=True)
        score = _as_float32(values)
        faults.mark(~valid, "score is not a number")
        faults.mark(~np.isfinite(score), "score is not finite")
        least, most = self._settings.score_min, self._settings.score_max
        if least is not None:
            faults.mark(score < np.float32(least), f"score is below {least:g}, the minimum in the schema")
        if most is not None:
            faults.mark(score > np.float32(most), f"score is above {most:g}, the maximum in the schema")
        return pa.array(score)


def check_id(faults: Faults, what: str, ids: pa.Array, limit: int, null_words: tuple[str, ...]) -> None:
    """Marks the rows whose id breaks a rule.

    Args:
      faults: gets the broken rules.
      what: the subject of the reasons, such as `left id`.
      ids: binary `[n]`.
      limit: the maximum length in bytes.
      null_words: texts that stand for a missing id.
    """
    length = pc.fill_null(pc.binary_length(ids), 0).to_numpy(zero_copy_only=False)
    faults.mark(length == 0, f"{what} is empty")
    faults.mark(length > limit, f"{what} is longer than {limit:,} bytes")
    faults.mark(~is_utf8(ids), f"{what} is not UTF-8")
    if null_words:
        words = pa.array([word.encode() for word in null_words], ids.type)
        faults.mark(pc.is_in(ids, words).to_numpy(zero_copy_only=False), f"{what} is one of data.null_words")
    # The vocabulary of a published model is a text file with one id per line.
    faults.mark(_holds_line_end(ids), f"{what} holds a line feed or a carriage return")


class Faults:
    """The first broken rule of each row."""

    def __init__(self, count: int) -> None:
        self.codes = np.zeros(count, np.uint16)
        self._reasons = [""]

    def mark(self, broken: np.ndarray, reason: str) -> None:
        """Records `reason` for the rows of mask `broken` that have no reason yet."""
        if broken.any():
            self._reasons.append(reason)
            self.codes[broken & (self.codes == 0)] = len(self._reasons) - 1

    def any(self) -> bool:
        """Returns whether any row breaks a rule."""
        return len(self._reasons) > 1

    def reasons(self, rows: np.ndarray) -> list[str]:
        """Returns the reasons of the given rows."""
        return [self._reasons[code] for code in self.codes[rows].tolist()]


def fold_names(column: pa.Array) -> pa.Array:
    """Returns the fold of each row as binary: digits of whole numbers, `true` or `false`, and empty where missing."""
    encoded = column.dictionary_encode()
    names = [b"" if value is None or value != value else _fold_name(value) for value in encoded.dictionary.to_pylist()]
    return _without_nulls(pa.array(names, pa.binary()).take(encoded.indices))


def _fold_name(value: object) -> bytes:
    """Returns a value of `data.split.eval_folds` or of a column of folds as text."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return str(value).lower().encode()
    if isinstance(value, float | Decimal) and value == int(value):
        return b"%d" % value
    return str(value).encode()


def _weight(faults: Faults, column: pa.Array) -> pa.Array:
    values, valid = parse_numbers(column)
    weight = _as_float32(values)
    faults.mark(~valid, "weight is not a number")
    faults.mark(~np.isfinite(weight), "weight is not finite")
    faults.mark(weight < 0, "weight is negative")
    return pa.array(weight)


def _holds_line_end(ids: pa.Array) -> np.ndarray:
    """Returns which ids contain a line feed or a carriage return. Searches the bytes of the whole column first."""
    data = ids.buffers()[2]
    array = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    if not ((array == 10) | (array == 13)).any():
        return np.zeros(len(ids), bool)
    matches = pc.match_substring_regex(ids, "[\n\r]")
    return np.asarray(matches.fill_null(False).to_numpy(zero_copy_only=False))


def _as_float32(values: np.ndarray) -> np.ndarray:
    """Returns float32 values, infinite where the value is too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def _without_nulls(ids: pa.Array) -> pa.Array:
    return ids.fill_null(b"") if ids.null_count else ids
