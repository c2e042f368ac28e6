"""Rules about the spelling of the distinct ids of one side. Each is a few operations on the whole column."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.suspicious.numerals import Numerals
from components.pair_example_gen.suspicious.warning import DataWarning
from trainer.data.examples import Entities

# Spellings of a missing value in pandas, R, SQL, Hive, JavaScript and spreadsheets.
NULL_WORDS = (
    "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "Null", "null", "<null>", "(null)", "[null]", "NONE", "None", "none",
    "NAN", "NaN", "nan", "-nan", "NaT", "Nil", "nil", "\\N", "undefined",
    "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!",
)  # fmt: skip
# A null word is an ordinary id where most other ids are written like it: "none" among words, "NA" among countries.
_SHAPES = ("^[a-z]+$", "^[A-Z]+$", "^[A-Z][a-z]+$")
_QUOTED = r"""(?s)^(".*"|'.*')$"""
_MOSTLY = 0.9
# Control characters, soft hyphen, zero-width space, direction marks, word joiner and byte order mark. The zero-width
# joiners (200C, 200D) are part of Persian, of Indic scripts and of emoji.
_INVISIBLE = (
    r"[\x00-\x1f\x7f-\x{9f}\x{ad}\x{200b}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2060}\x{feff}]"
)  # fmt: skip
# The replacement character, and UTF-8 that was read as Latin-1.
_MISREAD = r"\x{fffd}|[ÃÂ][\x{80}-\x{bf}]|â€"
# Words that differ only in case are usual. They are reported if they are at least this share of all ids.
_WORD, _MOSTLY_WORDS, _LEAST_SHARE_OF_CASE = "^[A-Za-z]+$", 0.8, 0.05
_SHOWN, _LONGEST = 5, 60


@dataclasses.dataclass(frozen=True)
class SpelledIds:
    """The distinct ids of a side, as text.

    Args:
      side: left or right.
      entities: the distinct ids, and their number of rows in each split.
    """

    side: str
    entities: Entities

    @functools.cached_property
    def text(self) -> pa.Array:
        """The ids, large_string `[n]`. Ingestion has checked that they are UTF-8."""
        return self.entities.ids.cast(pa.large_string())

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """The number of rows of each id, int64 `[n]`."""
        return np.asarray(sum(self.entities.counts.values()), np.int64)

    @functools.cached_property
    def trimmed(self) -> pa.Array:
        """The ids without blanks at their ends."""
        return pc.utf8_trim_whitespace(self.text)

    @functools.cached_property
    def is_ascii(self) -> bool:
        """Whether all ids are ASCII."""
        return bool(pc.all(pc.string_is_ascii(self.text)).as_py())

    @functools.cached_property
    def numerals(self) -> Numerals:
        """The ids that are numbers."""
        return Numerals(self.text)

    def __len__(self) -> int:
        return len(self.entities)

    def where(self, pattern: str, among: pa.Array | None = None) -> np.ndarray:
        """Returns which ids match a regular expression, bool `[n]`."""
        return _mask(pc.match_substring_regex(self.text if among is None else among, pattern))

    def most_frequent(self, chosen: np.ndarray) -> np.ndarray:
        """Returns the places of the most frequent of the ids of a mask."""
        places = np.flatnonzero(chosen)
        return np.asarray(places[np.argsort(-self.rows[places], kind="stable")[:_SHOWN]])

    def warning(self, kind: str, chosen: np.ndarray, message: str, shown: np.ndarray | None = None) -> DataWarning:
        """Returns a warning about the ids of a mask.

        Args:
          kind: the name of the rule.
          chosen: mask of the ids, bool `[n]`.
          message: a sentence or two. `{ids}` stands for their number, and `{rows}` for the number of their rows.
          shown: places of the ids to show. The most frequent ones by default.
        """
        ids, rows = int(chosen.sum()), int(self.rows[chosen].sum())
        which = f"{ids:,} of {len(self):,} ids" if ids < len(self) else f"all {ids:,} ids"
        places = self.most_frequent(chosen) if shown is None else shown
        names = self.text.take(pa.array(places)).to_pylist()
        examples = (f"{literal(name)} ({_rows(int(self.rows[at]))})" for name, at in zip(names, places, strict=True))
        text = f"{message.format(ids=which, rows=_rows(rows))}: {', '.join(examples)}"
        return DataWarning(kind, column_key(self.side), rows, [shortened(name) for name in names], text)


def spelling_warnings(ids: SpelledIds) -> Iterator[DataWarning]:
    """Yields a warning for each rule that some ids of a side break."""
    for rule in (_missing, _quoted, _blank, _invisible, _misread, _numbers, _decimals, _spreadsheet, _case, _unicode):
        yield from rule(ids)


def column_key(role: str) -> str:
    """Returns the key of a column in the pipeline file."""
    return f"data.columns.{role}"


def shortened(name: str) -> str:
    """Cuts a long id."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def literal(name: str) -> str:
    """Returns an id as a Python literal, so that blanks and invisible characters are visible."""
    return repr(shortened(name))


def null_words(ids: SpelledIds) -> np.ndarray:
    """Returns which ids look like a missing value, bool `[n]`."""
    found = _mask(pc.is_in(ids.trimmed, value_set=pa.array(NULL_WORDS, pa.large_string())))
    if not found.any():
        return found
    others = ~found
    for shape in _SHAPES:
        alike = ids.where(shape)
        if (alike & others).sum() > 0.5 * others.sum():
            # Among words, a null word is suspicious only if it is more frequent than every other id.
            found &= ~alike | (ids.rows > ids.rows[others].max())
    return found


def _missing(ids: SpelledIds) -> Iterator[DataWarning]:
    found = null_words(ids)
    if found.any():
        yield ids.warning(
            "missing_words",
            found,
            "{ids} look like a missing value, but are entities with {rows}. To quarantine such rows, name the words in "
            "data.null_words",
        )


def _quoted(ids: SpelledIds) -> Iterator[DataWarning]:
    wrapped = ids.where(_QUOTED)
    if wrapped.sum() >= max(2, _MOSTLY * len(ids)):
        yield ids.warning(
            "wrapped",
            wrapped,
            "{ids} are in quotation marks, which are part of the id. A request without them finds no entity. Set "
            "data.quoting: double if they wrap the fields of the file",
        )


def _blank(ids: SpelledIds) -> Iterator[DataWarning]:
    found = _mask(pc.not_equal(ids.trimmed, ids.text))
    if found.any():
        yield ids.warning(
            "blanks", found, "{ids} begin or end with a blank ({rows}), which is part of the id. Remove the blanks"
        )


def _invisible(ids: SpelledIds) -> Iterator[DataWarning]:
    found = ids.where(_INVISIBLE, ids.trimmed) if _may_be_invisible(ids) else np.zeros(len(ids), bool)
    if found.any():
        yield ids.warning("invisible_characters", found, "{ids} have an invisible character ({rows}). Remove it")


def _may_be_invisible(ids: SpelledIds) -> bool:
    data = ids.entities.ids.buffers()[2]
    codes = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return bool((codes < 0x20).any() or (codes == 0x7F).any()) or not ids.is_ascii


def _misread(ids: SpelledIds) -> Iterator[DataWarning]:
    found = np.zeros(len(ids), bool) if ids.is_ascii else ids.where(_MISREAD)
    if found.any():
        yield ids.warning(
            "misread_text", found, "{ids} look like text in a wrong encoding ({rows}). Convert the file to UTF-8"
        )


def _numbers(ids: SpelledIds) -> Iterator[DataWarning]:
    found = ids.numerals.several_spellings()
    if found.any():
        yield ids.warning(
            "number_spellings",
            found,
            "{ids} are numbers of which another spelling is another id, such as 4 and 4.0 ({rows}). Write each number "
            "in one way",
        )


def _decimals(ids: SpelledIds) -> Iterator[DataWarning]:
    found = ids.numerals.decimals
    if found.sum() >= max(2, _MOSTLY * len(ids)):
        yield ids.warning(
            "decimal_ids",
            found,
            "{ids} are whole numbers that end in .0, probably because a program read the column as decimals. A request "
            "for 4 does not find 4.0. Write whole numbers",
        )


def _spreadsheet(ids: SpelledIds) -> Iterator[DataWarning]:
    found = ids.numerals.exponents
    if found.any():
        yield ids.warning(
            "rounded_numbers",
            found,
            "{ids} are numbers with an exponent ({rows}), as spreadsheets and R write long ids. Digits may be lost. "
            "Export the column as text",
        )


def _case(ids: SpelledIds) -> Iterator[DataWarning]:
    lower = pc.utf8_lower(ids.text)
    if lower.equals(ids.text):
        return
    # In other mixtures, such as aX3 and Ax3, case is part of a code.
    usual = _mask(pc.equal(lower, ids.text)) | _mask(pc.equal(pc.utf8_upper(ids.text), ids.text))
    usual |= _mask(pc.equal(pc.utf8_capitalize(ids.text), ids.text)) | _mask(
        pc.equal(pc.utf8_title(ids.text), ids.text)
    )
    are_words = ids.where(_WORD).sum() > _MOSTLY_WORDS * len(ids)
    yield from _variants(
        ids,
        lower,
        usual,
        "case",
        "{ids} differ from another id only by case ({rows}). Each spelling is a separate entity",
        _LEAST_SHARE_OF_CASE * len(ids) if are_words else 1,
    )


def _unicode(ids: SpelledIds) -> Iterator[DataWarning]:
    if ids.is_ascii:
        return
    yield from _variants(
        ids,
        pc.utf8_normalize(ids.text, form="NFC"),
        np.ones(len(ids), bool),
        "unicode_forms",
        "{ids} look like another id, but are other Unicode characters ({rows}). Write all ids in the form NFC",
    )


def _variants(
    ids: SpelledIds, keys: pa.Array, usual: np.ndarray, kind: str, message: str, least: float = 1
) -> Iterator[DataWarning]:
    if keys.equals(ids.text):
        return
    found = same_key(keys, usual)
    if found.sum() < max(least, 1):
        return
    # The most frequent variants need not belong together, so show whole groups.
    places = np.flatnonzero(found)
    codes = keys.take(pa.array(places)).dictionary_encode().indices.to_numpy()
    total = np.bincount(codes, ids.rows[places])
    order = np.lexsort((-ids.rows[places], codes, -total[codes]))[:_SHOWN]
    yield ids.warning(kind, found, message, places[order])


def same_key(keys: pa.Array, among: np.ndarray) -> np.ndarray:
    """Returns which of the values of a mask have the key of another one of them, bool `[n]`."""
    codes = keys.dictionary_encode().indices.to_numpy()
    sizes = np.bincount(codes[among], minlength=int(codes.max(initial=0)) + 1)
    return np.asarray(among & (sizes[codes] > 1))


def _mask(column: pa.Array) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False), bool)


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
