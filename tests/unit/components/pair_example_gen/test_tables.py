"""Reads random tables of good and bad rows in every format, and expects exactly the good rows."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.pair_example_gen.reading import chunks
from components.pair_example_gen.rules import RowRules
from components.pair_example_gen.settings import ColumnSettings, IngestSettings, PairFiles

LAYOUT = PairFiles(path="not read", columns=ColumnSettings(left="left", right="right", score="score"))

ids = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=8).map(
    str.encode
)
scores = st.floats(width=32, allow_nan=False, allow_infinity=False)
good = st.tuples(ids, ids, scores, st.just(""))
bad = st.one_of(
    st.tuples(st.just(b""), ids, scores, st.just("left id is empty")),
    st.tuples(ids, st.just(b""), scores, st.just("right id is empty")),
    st.tuples(st.just(b"x" * 33), ids, scores, st.just("left id is longer than 32 bytes")),
    st.tuples(ids, st.just(b"\xff\xfe"), scores, st.just("right id is not UTF-8")),
    st.tuples(ids, ids, st.sampled_from([np.inf, -np.inf, np.nan]), st.just("score is not finite")),
)
tables = st.lists(st.one_of(good, good, bad), min_size=1, max_size=30)
# Faults that only text can have.
text_rows = st.one_of(
    st.tuples(st.just(b"a,b"), st.just("2 fields instead of 3")),
    st.tuples(st.just(b"a,b,1,2"), st.just("4 fields instead of 3")),
    st.tuples(st.just(b"a,b,one"), st.just("score is not a number")),
    st.tuples(st.just(b'"a\nb",c,1'), st.just("left id holds a line feed or a carriage return")),
    st.tuples(st.just(b'"a" b,c,1'), st.just("text after the closing quotation mark of a field")),
)


def read(path: Path, chunk_bytes: int = 1 << 20, layout: PairFiles = LAYOUT):
    """Returns the good rows of all chunks in order, and the bad ones as (position, reason)."""
    rules = RowRules(IngestSettings(**dict(layout), max_id_bytes=32))
    kept, aside = [], []
    for chunk in chunks.cut(0, str(path), layout, chunk_bytes):
        for rows in chunks.read(chunk, layout):
            checked = rules.check(str(path), rows)
            kept += [tuple(row.values()) for row in checked.pairs.to_pylist()]
            aside += [
                (row["line"] if row["line"] is not None else (row["row_group"], row["row"]), row["reason"])
                for row in checked.bad.to_pylist()
            ]
    return kept, sorted(aside)


def quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b'"', b'""') + b'"' if set(value) & set(b'",\n') else value


def csv_text(rows, line_end: bytes, bom: bool):
    """Returns CSV text and the expected rows."""
    lines, line, kept, aside = [b"left,right,score"], 2, [], []
    for row in rows:
        if len(row) == 2:
            lines.append(row[0])
            aside.append((line, row[1]))
            line += row[0].count(b"\n")
        else:
            left, right, score, reason = row
            lines.append(b",".join([quoted(left), quoted(right), repr(score).encode()]))
            if reason:
                aside.append((line, reason))
            else:
                kept.append((left, right, score))
        line += 1
    return b"\xef\xbb\xbf" * bom + line_end.join(lines) + line_end, kept, aside


@given(
    st.lists(st.one_of(good, good, bad, text_rows), min_size=1, max_size=30),
    st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.booleans(), st.sampled_from([1, 50, 1 << 20]),
)  # fmt: skip
@settings(max_examples=200)
def test_csv_good_and_bad_rows(rows, line_end, bom, compressed, chunk_bytes):
    text, kept, aside = csv_text(rows, line_end, bom)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.csv.gz" if compressed else "pairs.csv")
        path.write_bytes(gzip.compress(text) if compressed else text)
        assert read(path, chunk_bytes) == (kept, sorted(aside))


@given(tables, st.integers(1, 10), st.sampled_from([1, 1 << 20]))
@settings(max_examples=80)
def test_parquet_good_and_bad_rows(rows, group_rows, chunk_bytes):
    left, right, score, _ = zip(*rows, strict=True)
    table = pa.table({"left": pa.array(left, pa.binary()), "right": pa.array(right, pa.binary()), "score": score})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.parquet")
        pa.parquet.write_table(table, path, row_group_size=group_rows)
        kept, aside = read(path, chunk_bytes)
    assert kept == [row[:3] for row in rows if not row[3]]
    assert aside == [(divmod(at, group_rows), row[3]) for at, row in enumerate(rows) if row[3]]


@pytest.mark.tensorflow
@given(tables, st.booleans())
@settings(max_examples=30)
def test_tfrecord_good_and_bad_rows(rows, compressed):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.tfrecord.gz" if compressed else "pairs.tfrecord")
        with tf.io.TFRecordWriter(str(path), "GZIP" if compressed else "") as out:
            for left, right, score, _ in rows:
                example = tf.train.Example()
                example.features.feature["left"].bytes_list.value.append(left)
                example.features.feature["right"].bytes_list.value.append(right)
                example.features.feature["score"].float_list.value.append(score)
                out.write(example.SerializeToString())
        kept, aside = read(path)
    assert kept == [row[:3] for row in rows if not row[3]]
    assert aside == [((None, at), row[3]) for at, row in enumerate(rows) if row[3]]


@given(
    st.lists(
        st.lists(st.text(st.sampled_from('ab",\n é'), max_size=6), min_size=3, max_size=3), min_size=1, max_size=30
    )
)
def test_output_of_python_csv_is_read(rows):
    rows = [[*row[:2], "1", row[2]] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["left", "right", "score", "note"], *rows])
    wanted = [row for row in rows if row[0] and row[1] and not any("\n" in field for field in row[:2])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.csv")
        path.write_bytes(text.getvalue().encode())
        kept, aside = read(path, 20)
    assert kept == [(row[0].encode(), row[1].encode(), 1.0) for row in wanted]
    assert len(kept) + len(aside) == len(rows)
