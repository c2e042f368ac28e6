"""One file of pairs as Arrow batches: good rows typed, bad rows with the reason, none lost."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from components.errors import InputError
from components.pair_example_gen.files import byte_stream
from components.pair_example_gen.source import Format, Layout, format_of

_BLOCK_BYTES = 8 << 20
_DELIMITERS: dict[Format, str] = {"csv": ",", "tsv": "\t"}

PAIRS = pa.schema([("left_id", pa.binary()), ("right_id", pa.binary()), ("score", pa.float32())])

# Of a bad row we keep which file, its number among the data rows of that file (from 1; rows that could not be split
# into fields have the reader's own number), the rule it breaks, and its fields.
QUARANTINE = pa.schema([("file", pa.string()), ("row", pa.int64()), ("reason", pa.string()), ("raw", pa.binary())])


@dataclasses.dataclass(frozen=True)
class Batch:
    """A slice of a file: `pairs` after schema PAIRS, `quarantined` after schema QUARANTINE."""

    pairs: pa.Table
    quarantined: pa.Table


def read_pairs(file: str, layout: Layout) -> Iterator[Batch]:
    """Reads one CSV or TSV file, plain or .gz, in batches of some megabytes.

    Raises:
      InputError: the file cannot be read, is empty, lacks a column, or breaks off in the middle of its compression.
    """
    broken_rows: list[pa.csv.InvalidRow] = []
    first_row = 1
    with _readable(file), _open(file, layout, broken_rows) as batches:
        for batch in batches:
            yield _sort_out(file, batch, layout, first_row, broken_rows)
            first_row += batch.num_rows + len(broken_rows)
            broken_rows.clear()
        if broken_rows:
            yield Batch(PAIRS.empty_table(), _broken(file, broken_rows))


def check_columns(file: str, layout: Layout) -> None:
    """Looks at the head of `file` only.

    Raises:
      InputError: the file cannot be read, is empty, or lacks a column of `layout`.
    """
    with _readable(file):
        _column_names(file, layout, _DELIMITERS[format_of(file, layout)])


@contextlib.contextmanager
def _readable(file: str) -> Iterator[None]:
    """Turns what Arrow says of an unreadable file into an InputError that names it."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowKeyError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        if "Empty CSV file" in reason:
            raise InputError(f"data.path: {file} is empty: there is no row to learn from") from None
        raise InputError(f"data.path: {file} cannot be read: {reason}") from None


@contextlib.contextmanager
def _open(file: str, layout: Layout, broken_rows: list[pa.csv.InvalidRow]) -> Iterator[pa.csv.CSVStreamingReader]:
    """A streaming reader of the pair columns as bytes, named left_id, right_id and score."""
    delimiter = _DELIMITERS[format_of(file, layout)]

    def set_aside(row: pa.csv.InvalidRow) -> str:
        broken_rows.append(row)
        return "skip"

    names = _column_names(file, layout, delimiter)
    selected = [name if isinstance(name, str) else names[name] for name in layout.columns]
    with byte_stream(file) as stream:
        yield pa.csv.open_csv(
            stream,
            pa.csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=None if layout.has_header else names),
            _parse_options(delimiter, set_aside),
            pa.csv.ConvertOptions(
                include_columns=selected, column_types=dict.fromkeys(selected, pa.binary()), strings_can_be_null=False
            ),
        )


def _parse_options(delimiter: str, invalid_row_handler: object = None) -> pa.csv.ParseOptions:
    """Quotes mean something in CSV only: TSV has none, and a quotation mark may well be part of a word."""
    return pa.csv.ParseOptions(
        delimiter=delimiter,
        quote_char='"' if delimiter == "," else False,
        newlines_in_values=delimiter == ",",
        invalid_row_handler=invalid_row_handler,
    )


def _column_names(file: str, layout: Layout, delimiter: str) -> list[str]:
    """The columns of `file`: its header, or made-up names where it has none.

    Raises:
      InputError: a column of the layout is not there; says which ones are.
    """
    with byte_stream(file) as stream:
        options = pa.csv.ReadOptions(block_size=1 << 20, autogenerate_column_names=not layout.has_header)
        names: list[str] = pa.csv.open_csv(stream, options, _parse_options(delimiter, lambda row: "skip")).schema.names
    for key, column in zip(("left", "right", "score"), layout.columns, strict=True):
        if isinstance(column, str) and names.count(column) != 1:
            fault = "no column" if column not in names else "more than one column"
            raise InputError(
                f"data.columns.{key}: {file} has {fault} {column!r}; its columns are {', '.join(map(repr, names))}"
            )
        if isinstance(column, int) and column >= len(names):
            raise InputError(f"data.columns.{key}: {file} has no column {column}; it has {len(names)}, numbered from 0")
    return names


def _sort_out(
    file: str, batch: pa.RecordBatch, layout: Layout, first_row: int, broken_rows: list[pa.csv.InvalidRow]
) -> Batch:
    """Splits a batch of byte columns into typed good rows and bad rows with reasons."""
    left, right, score_text = (batch.column(i) for i in range(3))
    score = _parse_scores(score_text)
    reasons = pc.case_when(
        pc.make_struct(
            pc.equal(pc.binary_length(left), 0),
            pc.equal(pc.binary_length(right), 0),
            pc.invert(_is_utf8(left)),
            pc.invert(_is_utf8(right)),
            pc.is_null(score),
            pc.invert(pc.is_finite(pc.fill_null(score, 0))),
        ),
        *(
            pa.scalar(reason)
            for reason in (
                "left id is empty",
                "right id is empty",
                "left id is not UTF-8",
                "right id is not UTF-8",
                "score is not a number",
                "score is not finite",
            )
        ),
    )
    good = pc.is_null(reasons)
    pairs = pa.Table.from_arrays([left, right, score], schema=PAIRS).filter(good)
    if not broken_rows and pc.all(good).as_py():
        return Batch(pairs, QUARANTINE.empty_table())
    bad = pa.Table.from_arrays(
        [
            pa.array([file] * batch.num_rows, pa.string()),
            pa.array(range(first_row, first_row + batch.num_rows), pa.int64()),
            reasons,
            pc.binary_join_element_wise(left, right, score_text, pa.scalar(b"\t", pa.binary())),
        ],
        schema=QUARANTINE,
    ).filter(pc.invert(good))
    return Batch(pairs, pa.concat_tables([bad, _broken(file, broken_rows)]))


def _parse_scores(text: pa.Array) -> pa.Array:
    """float32 scores; null where the text is no number. NaN and infinity are numbers here, judged later."""
    if not pc.all(_is_utf8(text)).as_py():
        text = pc.if_else(_is_utf8(text), text, pa.scalar(b"", pa.binary()))
    trimmed = pc.utf8_trim_whitespace(text.cast(pa.string()))
    numeric = pc.match_substring_regex(trimmed, r"(?i)^[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)$")
    digits = pc.utf8_ltrim(pc.if_else(numeric, trimmed, pa.scalar(None, pa.string())), "+")
    return digits.cast(pa.float64()).cast(pa.float32(), safe=False)


def _is_utf8(column: pa.Array) -> pa.Array:
    """Which values are UTF-8; the whole column is tried first, as nearly always it is."""
    try:
        column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decodes(value) for value in column.to_pylist()], pa.bool_())
    return pa.array([True] * len(column), pa.bool_()) if len(column) else pa.array([], pa.bool_())


def _decodes(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _broken(file: str, rows: list[pa.csv.InvalidRow]) -> pa.Table:
    """Rows that have another number of fields than the file has columns."""
    reasons = [f"{row.actual_columns} fields instead of {row.expected_columns}" for row in rows]
    return pa.Table.from_pydict(
        {
            "file": [file] * len(rows),
            "row": [row.number for row in rows],
            "reason": reasons,
            "raw": [row.text.encode(errors="surrogateescape") for row in rows],
        },
        schema=QUARANTINE,
    )
