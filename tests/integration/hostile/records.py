"""Formats with records: JSON lines, adjacency lists, Parquet and TFRecord."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa

from tests.integration.hostile.case import (
    AB,
    ADJACENCY,
    CD,
    GOOD_EXAMPLE,
    HEADER,
    TIMED,
    Hostile,
    flipped,
    parquet_table,
    tfrecord_bytes,
    tfrecords,
)
from tests.integration.ingesting import NUMBERS, example, write_parquet

RECORDS = [
    # JSON lines
    Hostile(
        "JSON lines with gaps",
        b'{"right": "b", "score": 1, "left": "a"}\n\n{"left": "x", "score": 1}\n'
        b'{"left": null, "right": "b", "score": 1}\n{"left": "c", "right": "d", "score": 2.5e0, "more": {}}\r\n',
        [AB, CD],
        [(3, "right id is empty"), (4, "left id is empty")],
        file="pairs.jsonl",
    ),
    Hostile(
        "JSON of every type",
        b'{"left": 12345678901234567890123456789, "right": 4.0, "score": true}\n'
        b'{"left": "\\ud83d\\ude00", "right": "b\\u0000", "score": "1.5"}\n'
        b'{"left": 1.5, "right": "b", "score": 1}\n'
        b'{"left": ["a"], "right": "b", "score": 1}\n'
        b'{"left": "a", "right": {"id": 1}, "score": 1}\n'
        b'{"left": "\\ud83d", "right": "b", "score": 1}\n'
        b'{"left": "a\\nb", "right": "b", "score": 1}\n'
        b'{"left": "a", "right": "b", "score": NaN}\n'
        b'{"left": "a", "right": "b", "score": "good"}\n'
        b'{"left": 1e300, "right": NaN, "score": 1}\n',
        [(b"12345678901234567890123456789", b"4"), ("😀".encode(), b"b\0")],
        [
            (3, "left id is not a whole number"),
            (4, "left id is a list"),
            (5, "right id is an object"),
            (6, "left id is not UTF-8"),
            (7, "left id holds a line feed or a carriage return"),
            (8, "score is not finite"),
            (9, "score is not a number"),
            (10, "left id is a float above 9,007,199,254,740,992, which has no exact whole numbers"),
        ],
        file="pairs.ndjson",
    ),
    Hostile(
        "broken JSON lines",
        b'\xef\xbb\xbf{"left": "a", "right": "b", "score": 1}\n{"left": "a", "right": "b", "score": 1\n[1]\n'
        b'{"left": "\xff"}\n{"left": ' + b"[" * 100_000 + b'\n{"left": "c", "right": "d", "score": 1}',
        [AB, CD],
        [
            (2, "line is not JSON"),
            (3, "line is not a JSON object"),
            (4, "line is not UTF-8"),
            (5, "line is not JSON"),
        ],
        file="pairs.json",
    ),
    Hostile("a JSON array", b'[{"left": "a"},\n{"left": "c"}]\n', error="begins with a JSON array", file="pairs.json"),
    Hostile("a JSON document", b'{\n "left": "a"\n}\n', error="is not JSON lines", file="pairs.json"),
    Hostile(
        "JSON lines without a column",
        b'{"left": "a", "right": "b"}\n',
        error="no column 'score'. Its columns are 'left', 'right'",
        file="pairs.jsonl",
    ),
    Hostile(
        "JSON lines by number",
        b'{"left": "a", "right": "b"}\n',
        error="have names, not numbers",
        file="pairs.jsonl",
        layout=NUMBERS,
    ),
    Hostile("JSON lines that are called CSV", b'{"left": "a"}\n', error="holds JSON lines. Set data.format to jsonl"),
    # Adjacency lists
    Hostile(
        "adjacency lists",
        b"a b\nc  d\tb \n\n x\n\t\na c " + b"z" * 1025 + b"\r\n" + "é \u00a0".encode() + b"\n\xff b",
        [AB, (b"a", b"c"), (b"c", b"b"), CD, ("é".encode(), "\u00a0".encode())],
        [
            (4, "no right id after the left id"),
            (5, "no right id after the left id"),
            (6, "right id is longer than 1,024 bytes"),
            (8, "left id is not UTF-8"),
        ],
        layout=ADJACENCY,
    ),
    Hostile(
        "adjacency lists of names in quotes",
        b'"a" "b"\n',
        [(b'"a"', b'"b"')],
        layout=ADJACENCY,
    ),
    Hostile(
        "adjacency lists that are called CSV",
        b"0 1 2 3\n1 2 3\n2 3\n3 1\n",
        error="looks like adjacency lists, .* Set data.format to adjacency",
        layout=NUMBERS,
    ),
    # Parquet
    Hostile("no Parquet", b"not parquet", error="cannot be read", file="pairs.parquet"),
    Hostile(
        "Parquet cut short",
        lambda path: (
            write_parquet(path, {"left": ["a"], "right": ["b"], "score": [1.0]}),
            path.write_bytes(path.read_bytes()[:-10]),
        ),
        error="cannot be read",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet without rows",
        parquet_table(left=pa.array([], "string"), right=pa.array([], "string"), score=pa.array([], "double")),
        error="no row",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet with nulls",
        parquet_table(left=["a", None, "e"], right=["b", "x", "f"], score=[1.0, 1.0, None]),
        [AB],
        [(1, "left id is empty"), (2, "score is not a number")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of integers",
        parquet_table(left=[1, 2], right=[7, 8], score=[1, 2]),
        [(b"1", b"7"), (b"2", b"8")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of dictionaries",
        parquet_table(left=pa.array(["a", "c"]).dictionary_encode(), right=["b", "d"], score=["1", "x"]),
        [AB],
        [(1, "score is not a number")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of lists",
        parquet_table(left=[["a"]], right=["b"], score=[1.0]),
        error="column 'left' holds list",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of fractions for ids",
        parquet_table(left=[1.5, 4.0, None, 2.0**60], right=["b"] * 4, score=[1.0] * 4),
        [(b"4", b"b")],
        [
            (0, "left id is not a whole number"),
            (2, "left id is empty"),
            (3, "left id is a float above 9,007,199,254,740,992, which has no exact whole numbers"),
        ],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of decimals",
        parquet_table(
            left=pa.array([12345678901234567890123456789012345678, 4], pa.decimal128(38, 0)),
            right=pa.array([Decimal("7.00"), Decimal("7.50")], pa.decimal128(9, 2)),
            score=pa.array([Decimal("2.5"), 1], pa.decimal128(9, 2)),
        ),
        [(b"12345678901234567890123456789012345678", b"7")],
        [(1, "right id is not a whole number")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of UUIDs and Booleans",
        parquet_table(left=pa.array([bytes(range(16))], pa.binary(16)), right=[True], score=[False]),
        [(b"00010203-0405-0607-0809-0a0b0c0d0e0f", b"true")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet without scores",
        parquet_table(left=["a"], right=["b"], score=pa.nulls(1)),
        error="column 'score' has no value in any row",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of times with a zone",
        parquet_table(left=["a"], right=["b"], score=[1], time=pa.array([0], pa.timestamp("ns", "Europe/Paris"))),
        [AB],
        file="pairs.parquet",
        layout=TIMED,
    ),
    Hostile("Booleans", HEADER + b"a,b,true\nc,d, FALSE \nx,y,yes\n", [AB, CD], [(4, "score is not a number")]),
    Hostile(
        "times with the name of a zone",
        b"left,right,score,time\na,b,1,2001-09-05 00:38:52 UTC\nc,d,1,2001-09-05 00:38:52 No/Where\n",
        [AB],
        [(3, "time is neither a number nor an ISO 8601 date")],
        layout=TIMED,
    ),
    Hostile(
        "Parquet with NaN",
        parquet_table(left=["a", "c"], right=["b", "d"], score=np.array([np.nan, 1.0])),
        [CD],
        [(0, "score is not finite")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet, no such column",
        parquet_table(left=["a"], right=["b"], rating=[1.0]),
        error="no column 'score'",
        file="pairs.parquet",
    ),
    # TFRecord
    Hostile("TFRecord", tfrecords(GOOD_EXAMPLE), [AB], file="pairs.tfrecord"),
    Hostile(
        "TFRecord with gaps",
        tfrecords(GOOD_EXAMPLE, example(left=[b"c"], score=[1.0]), example(left=[], right=[b"d"], score=[1.0])),
        [AB],
        [(1, "right id is empty"), (2, "left id is empty")],
        file="pairs.tfrecord.gz",
    ),
    Hostile(
        "TFRecord with several values",
        tfrecords(example(left=[b"a", b"c"], right=[b"b"], score=[1.0]), GOOD_EXAMPLE),
        [AB],
        [(0, "left id has 2 values")],
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord of something else",
        tfrecords(b"garbage", GOOD_EXAMPLE),
        [AB],
        [(0, "record is not a tf.Example")],
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord of mixed types",
        tfrecords(GOOD_EXAMPLE, example(left=[7], right=[b"d"], score=[1])),
        [(b"7", b"d"), AB],
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord cut within a record",
        tfrecord_bytes(GOOD_EXAMPLE, GOOD_EXAMPLE, change=lambda data: data[:-3]),
        error="ends within record 2",
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord cut within a header",
        tfrecord_bytes(GOOD_EXAMPLE, GOOD_EXAMPLE, change=lambda data: data[: len(data) // 2 + 5]),
        error="ends within record",
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord with a flipped bit",
        tfrecord_bytes(GOOD_EXAMPLE, GOOD_EXAMPLE, change=lambda data: flipped(data, 20)),
        error="is damaged",
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord cut in gzip",
        tfrecord_bytes(GOOD_EXAMPLE, change=lambda data: data[:-6]),
        error="its gzip data is incomplete",
        file="pairs.tfrecord.gz",
    ),
    Hostile("no TFRecord", b"left,right,score\n" * 9, error="it is not a TFRecord file", file="pairs.tfrecord"),
    Hostile(
        "TFRecord by numbers",
        tfrecords(GOOD_EXAMPLE),
        error="have names, not numbers",
        file="pairs.tfrecord",
        layout=NUMBERS,
    ),
]
