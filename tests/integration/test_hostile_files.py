"""Files as they come in bad dreams: each with what must become of it. No traceback, no row lost without a word."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.pair_example_gen.reading import compression
from components.pair_example_gen.settings import PairFiles
from errors import InputError
from tests.integration.ingesting import NAMES, NUMBERS, example, ingest, layout, settings, write_parquet, write_tfrecord

HEADER = b"left,right,score\n"
CSV = NAMES.replace(format="csv")
TSV = NAMES.replace(format="tsv")
PAIRS = layout(left=0, right=1)
ADJACENCY = layout(left=0, right=1).replace(format="adjacency")
WEIGHED = layout(left="left", right="right", score="score", weight="weight")
TIMED = layout(left="left", right="right", score="score", time="time")

Make = Callable[[Path], Any]


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A file and its fate: the good rows as (left, right), the bad ones as (line, reason), or an error's words."""

    name: str
    content: bytes | Make
    good: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    bad: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    error: str | None = None
    file: str = "pairs.csv"
    layout: PairFiles = NAMES
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        path = folder / self.file
        if callable(self.content):
            self.content(path)
        else:
            path.write_bytes(self.content)
        return path


AB, CD = (b"a", b"b"), (b"c", b"d")
GZ = gzip.compress(HEADER + b"a,b,1\n" * 5000)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def _files(**contents: bytes) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        for name, content in contents.items():
            file = path / name.replace("__", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    return make


def _records(*records: bytes) -> Make:
    return lambda path: write_tfrecord(path, list(records))


def _record_bytes(*records: bytes, change: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        write_tfrecord(path, list(records))
        path.write_bytes(change(path.read_bytes()))

    return make


def _table(**columns: Any) -> Make:
    return lambda path: write_parquet(path, columns)


def _zip(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return content.getvalue()


def _tar(data: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as out:
        member = tarfile.TarInfo("pairs.csv")
        member.size = len(data)
        out.addfile(member, io.BytesIO(data))
    return content.getvalue()


def _packed_parquet(pack: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        write_parquet(path, {"left": ["a"], "right": ["b"], "score": [1.0]})
        path.write_bytes(pack(path.read_bytes()))

    return make


NO_NUMBER = (3, "score is not a number")
GZ_TEXT = HEADER + b"".join(b"l%d,r%d,%d\n" % (n, n * n, n % 7) for n in range(2000))
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    "lz4": lambda data: _arrow_stream(data, "lz4"),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda data: _zip(**{"pairs.csv": data}),
}


def _arrow_stream(data: bytes, kind: str) -> bytes:
    content = pa.BufferOutputStream()
    with pa.CompressedOutputStream(content, kind) as out:
        out.write(data)
    return bytes(content.getvalue())


GOOD_EXAMPLE = example(left=[b"a"], right=[b"b"], score=[1.0])

HOSTILE = [
    # Fields and lines
    Hostile("too many fields", HEADER + b"a,b,1\nx,y,1,2\nc,d,1\n", [AB, CD], [(3, "4 fields instead of 3")]),
    Hostile("too few fields", HEADER + b"a,b\nc,d,1\n", [CD], [(2, "2 fields instead of 3")]),
    Hostile("trailing comma", HEADER + b"a,b,1,\nc,d,1\n", [CD], [(2, "4 fields instead of 3")]),
    Hostile("spaces are a row", HEADER + b"a,b,1\n   \nc,d,1\n", [AB, CD], [(3, "1 fields instead of 3")]),
    Hostile("empty lines are none", HEADER + b"\n\na,b,1\n\r\n\nc,d,x\n\n", [AB], [(7, "score is not a number")]),
    Hostile("no line end at the end", HEADER + b"a,b,1\nc,d,1", [AB, CD]),
    Hostile("CRLF", b"left,right,score\r\na,b,1\r\nc,d,1\r\n", [AB, CD]),
    Hostile("CRLF and LF mixed", b"left,right,score\r\na,b,1\nc,d,1\r\n", [AB, CD]),
    Hostile(
        "a carriage return in a field",
        HEADER + b"a\rz,b,1\nc,d,1\n",
        [CD],
        [(2, "carriage return that does not end a line")],
    ),
    Hostile("carriage returns alone", b"left,right,score\ra,b,1\rc,d,1\r", error="lines end in carriage returns only"),
    Hostile("byte order mark", b"\xef\xbb\xbf" + HEADER + b"a,b,1\n", [AB]),
    Hostile("byte order mark, no header", b"\xef\xbb\xbfa,b,1\nc,d,1\n", [AB, CD], layout=NUMBERS),
    Hostile("byte order mark within", HEADER + b"\xef\xbb\xbfa,b,1\n", [(b"\xef\xbb\xbfa", b"b")]),
    Hostile(
        "UTF-16",
        (HEADER + b"a,b,1\n\xc3\xa9,d,x\nc,d,1\n").decode().encode("utf-16"),
        [AB, CD],
        [(3, "score is not a number")],
    ),
    Hostile(
        "UTF-16 without a byte order mark",
        (HEADER + b"a,b,1\n").decode().encode("utf-16-le"),
        error="looks like UTF-16.* Set data.encoding to utf-16-le",
    ),
    Hostile(
        "UTF-16 that is configured",
        (HEADER + b"a,b,1\n").decode().encode("utf-16-le"),
        [AB],
        layout=NAMES.replace(encoding="utf-16-le"),
    ),
    Hostile(
        "half a character of UTF-16", HEADER.decode().encode("utf-16") + b"a", error="is not utf-16: truncated data"
    ),
    Hostile(
        "Windows text",
        HEADER + b"caf\xe9,b,1\n\x80,d,x\n",
        [("café".encode(), b"b")],
        [(3, "score is not a number")],
        layout=NAMES.replace(encoding="cp1252"),
    ),
    Hostile(
        "not Windows text",
        HEADER + b"\x81,b,1\nc,d,1\n",
        [CD],
        [(2, "left id is not UTF-8")],
        layout=NAMES.replace(encoding="cp1252"),
    ),
    Hostile(
        "Windows text by itself",
        HEADER + b"caf\xe9,b,1\nna\xefve,M\xfcller,1\nc,d,x\n",
        [("café".encode(), b"b"), ("naïve".encode(), "Müller".encode())],
        [(4, "score is not a number")],
    ),
    Hostile(
        "a header that is not UTF-8", b"left,r\xeaght,score\na,b,1\n", error="They are not UTF-8: set data.encoding"
    ),
    Hostile("latin-1 id", HEADER + b"caf\xe9,b,1\nc,d,1\n", [CD], [(2, "left id is not UTF-8")]),
    Hostile("half an emoji", HEADER + b"a,\xf0\x9f\x98,1\nc,d,1\n", [CD], [(2, "right id is not UTF-8")]),
    Hostile("overlong UTF-8", HEADER + b"\xc0\xaf,b,1\nc,d,1\n", [CD], [(2, "left id is not UTF-8")]),
    Hostile(
        "a line of two megabytes",
        HEADER + b"a,b,1\n" + b"x" * (2 << 20) + b"\nc,d,1\n",
        [AB, CD],
        [(3, "line is longer than 1,048,576 bytes")],
    ),
    # Quotation marks
    Hostile("all quoted", b'"left","right","score"\n"a","b","1"\n', [AB]),
    Hostile("comma in quotes", HEADER + b'"a,z",b,1\n', [(b"a,z", b"b")]),
    Hostile("doubled quotes", HEADER + b'"say ""a""",b,1\n', [(b'say "a"', b"b")]),
    Hostile("only quotes", HEADER + b'"""",b,1\n', [(b'"', b"b")]),
    Hostile("tab in quotes", HEADER + b'"a\tz",b,1\n', [(b"a\tz", b"b")]),
    Hostile("inches", HEADER + b'5" disk,b,1\nc,d,1\n', [(b'5" disk', b"b"), CD]),
    Hostile("doubled marks in a plain field", HEADER + b'5""x,b,1\n"c",d,1\n', [(b'5""x', b"b"), CD]),
    Hostile(
        "text after a closing mark",
        HEADER + b'"a" z,b,1\nc,d,1\n',
        [CD],
        [(2, "text after the closing quotation mark of a field")],
    ),
    Hostile("a mark that never closes", HEADER + b'"a,b,1\nc,d,1\n', [CD], [(2, "quoted field does not end")]),
    Hostile(
        "a lost mark, quoted rows below",
        HEADER + b'"a,b,1\nc,d,1\n"e","f",1\n',
        [CD, (b"e", b"f")],
        [(2, "quoted field does not end")],
    ),
    Hostile(
        "newline in an id",
        HEADER + b'"a\nz",b,1\nc,d,x\ne,f,1\n',
        [(b"e", b"f")],
        [(2, "left id holds a line feed or a carriage return"), (4, "score is not a number")],
    ),
    Hostile(
        "newline in another column",
        b'note,left,right,score\n"one\ntwo\r\n\nfour",a,b,1\nz,c,d,x\n',
        [AB],
        [(6, "score is not a number")],
    ),
    Hostile(
        "newline in the header", b'left,right,score,"no\nte"\na,b,1,z\nc,d,x,z\n', [AB], [(4, "score is not a number")]
    ),
    Hostile("header with a lost mark", b'left,right,"score\na,b,1\n', error="header cannot be read: quoted field"),
    Hostile(
        "a mark is a word of TSV",
        b'left\tright\tscore\n"\tthe\t1\nof\t"\t2\n',
        [(b'"', b"the"), (b"of", b'"')],
        layout=TSV,
    ),
    Hostile(
        "tabs in quoted TSV",
        b'left\tright\tscore\n"a\tz"\tb\t1\n',
        [(b"a\tz", b"b")],
        layout=TSV.replace(quoting="double"),
    ),
    # Ids
    Hostile("empty ids", HEADER + b",b,1\na,,1\nc,d,1\n", [CD], [(2, "left id is empty"), (3, "right id is empty")]),
    Hostile("quoted nothing", HEADER + b'"",b,1\nc,d,1\n', [CD], [(2, "left id is empty")]),
    Hostile(
        "leading zeros and spaces", HEADER + b"007, a ,1\n  ,\xc2\xa0,1\n", [(b"007", b" a "), (b"  ", b"\xc2\xa0")]
    ),
    Hostile("emoji", HEADER + "😀,e\u0301,1\n".encode(), [("😀".encode(), "e\u0301".encode())]),
    Hostile("NUL", HEADER + b"a\0z,\0,1\n", [(b"a\0z", b"\0")]),
    Hostile("null is a word", HEADER + b"null,NA,1\nNaN,None,1\n", [(b"NaN", b"None"), (b"null", b"NA")]),
    Hostile("as long as may be", HEADER + b"a" * 1024 + b",b,1\n", [(b"a" * 1024, b"b")]),
    Hostile(
        "longer than may be", HEADER + b"a" * 1025 + b",b,1\nc,d,1\n", [CD], [(2, "left id is longer than 1,024 bytes")]
    ),
    Hostile(
        "a limit of one's own",
        HEADER + b"ab,b,1\nc,d,1\n",
        [CD],
        [(2, "left id is longer than 1 bytes")],
        changes={"max_id_bytes": 1},
    ),
    # Scores
    Hostile("words for scores", HEADER + b"a,b,good\nc,d,1\n", [CD], [(2, "score is not a number")]),
    Hostile("no score", HEADER + b"a,b,\nc,d,1\n", [CD], [(2, "score is not a number")]),
    Hostile("decimal comma", HEADER + b'a,b,"1,5"\nc,d,1\n', [AB, CD]),
    Hostile(
        "decimal comma that is refused",
        HEADER + b'a,b,"1,5"\nc,d,1\n',
        [CD],
        [(2, "score is not a number")],
        layout=NAMES.replace(decimal="."),
    ),
    Hostile(
        "points where commas are decimal marks",
        HEADER + b'a,b,"1,5"\nc,d,"1.234"\ne,f,"1.234,5"\n',
        [AB],
        [(3, "score is not a number"), (4, "score is not a number")],
        layout=NAMES.replace(decimal=","),
    ),
    Hostile("commas and points", HEADER + b'a,b,"1,5"\nc,d,1.5\n', [CD], [(2, "score is not a number")]),
    Hostile("thousands or decimals", HEADER + b'a,b,"1,500"\nc,d,"20,000"\n', error="Set data.decimal to ',' or '.'"),
    Hostile("NaN", HEADER + b"a,b,NaN\nc,d,1\n", [CD], [(2, "score is not finite")]),
    Hostile(
        "infinities",
        HEADER + b"a,b,inf\na,b,-Infinity\nc,d,1\n",
        [CD],
        [(2, "score is not finite"), (3, "score is not finite")],
    ),
    Hostile("beyond 64 bits", HEADER + b"a,b,1e400\nc,d,1e-400\n", [CD], [(2, "score is not finite")]),
    Hostile("beyond 32 bits", HEADER + b"a,b,1e39\nc,d,1\n", [CD], [(2, "score is not finite")]),
    Hostile(
        "NaN beside a word",
        HEADER + b"a,b,nan\nx,y,z\nc,d,1\n",
        [CD],
        [(2, "score is not finite"), (3, "score is not a number")],
    ),
    Hostile(
        "numbers of every kind",
        HEADER + b"a,b, +1.5 \nc,d,.5\ne,f,1.\ng,h,1E-3\n",
        [AB, CD, (b"e", b"f"), (b"g", b"h")],
    ),
    Hostile(
        "hexadecimal, underscores",
        HEADER + b"a,b,0x10\na,b,1_0\nc,d,1\n",
        [CD],
        [(2, "score is not a number"), (3, "score is not a number")],
    ),
    Hostile(
        "digits of another script", HEADER + "a,b,\uff11\n".encode() + b"c,d,1\n", [CD], [(2, "score is not a number")]
    ),
    Hostile("a score that is not UTF-8", HEADER + b"a,b,\xff\nc,d,1\n", [CD], [(2, "score is not a number")]),
    Hostile(
        "out of the domain",
        HEADER + b"a,b,6\na,b,0\nc,d,5\n",
        [CD],
        [
            (2, "score is above 5, the maximum in the schema"),
            (3, "score is below 1, the minimum in the schema"),
        ],
        changes={"score_min": 1.0, "score_max": 5.0},
    ),
    Hostile(
        "weights",
        b"left,right,score,weight\na,b,1,2\nc,d,1,-1\ne,f,1,\n",
        [AB],
        [(3, "weight is negative"), (4, "weight is not a number")],
        layout=WEIGHED,
    ),
    Hostile(
        "times",
        b"left,right,score,time\na,b,1,2020-01-02\nc,d,1,2020-13-01\ne,f,1,soon\n",
        [AB],
        [(3, "time is neither a number nor an ISO 8601 date"), (4, "time is neither a number nor an ISO 8601 date")],
        layout=TIMED,
    ),
    Hostile(
        "dates and numbers",
        b"left,right,score,time\na,b,1,2020-01-02\nc,d,1,1577923200\n",
        error="has numbers and .* has dates",
        layout=TIMED,
    ),
    # Files
    Hostile("empty", b"", error="is empty"),
    Hostile("nothing but line ends", b"\n\r\n\n", error="is empty"),
    Hostile("a header and no row", HEADER, error="no rows after the header"),
    Hostile(
        "no such column",
        b"left,right,rating\na,b,1\n",
        error="no column 'score'. Its columns are 'left', 'right', 'rating'",
    ),
    Hostile("a column twice", b"left,right,score,score\na,b,1,2\n", error="more than one column 'score'"),
    *(
        Hostile(
            f"columns with {delimiter!r} between them in {file}",
            HEADER.replace(b",", delimiter) + b"\n" + b"a,b,1\nx,y\nc,d,1\n".replace(b",", delimiter),
            [AB, CD],
            [(4, "2 fields instead of 3")],
            file=file,
        )
        for delimiter in (b";", b"|", b"\t", b"::", b"  ", b" \t")
        for file in ("pairs.csv", "pairs.txt", "part-00000")
    ),
    *(
        Hostile(
            f"numbered columns with {delimiter!r} between them",
            b"a,b,1\n".replace(b",", delimiter) * 30 + b"x,y\nc,d,1\n".replace(b",", delimiter),
            [AB] * 30 + [CD],
            [(31, "2 fields instead of 3")],
            file="pairs.dat",
            layout=NUMBERS,
        )
        for delimiter in (b";", b"|", b"\t", b"::", b" ", b"  ")
    ),
    Hostile(
        "a delimiter that is configured",
        b"left<>right<>score\na<>b<>1\n<<>>,d<>1\n",
        [AB, (b"<", b">,d")],
        layout=NAMES.replace(delimiter="<>"),
    ),
    Hostile(
        "a delimiter that is not there",
        HEADER,
        error="Set data.delimiter|set data.delimiter",
        layout=NAMES.replace(delimiter="|"),
    ),
    Hostile("quoted fields and semicolons", b'left;right;score\n"a;z";b;"1,5"\n', [(b"a;z", b"b")]),
    Hostile("decimal commas of numbered columns", b"a;b;1,5\nc;d;2\n".replace(b"2", b"2,25"), [AB, CD], layout=NUMBERS),
    Hostile("semicolons and commas without scores", b"a;b;1,5\nc;d;2,5\n", [AB, CD], layout=PAIRS),
    Hostile("a genre list", b"a,b,x;y\nc,d,z;w\n", [AB, CD], layout=PAIRS),
    Hostile("times with blanks", b"a,b,2020-01-01 10:00\nc,d,2020-01-01 11:00\n", [AB, CD], layout=PAIRS),
    Hostile("blanks around words", b"  a   b\t1 \r\n c d  1\n", [AB, CD], file="pairs.txt", layout=NUMBERS),
    # Headers and comments where columns have numbers
    *(
        Hostile(f"the header {header!r}", header + b"\n1,2,3\n4,5,6\n", [(b"1", b"2"), (b"4", b"5")], layout=NUMBERS)
        for header in (b"userId,movieId,rating", b"u,i,s", b'"user id","item.id","score"')
    ),
    Hostile("a header of texts", b"User-ID;ISBN\na;b\nc;d\n", [AB, CD], layout=PAIRS),
    Hostile("words that are no header", b"the,of\na,b\n", [AB, (b"the", b"of")], layout=PAIRS),
    Hostile("a first score that is missing", b"a,b,NA\nc,d,1\n", [CD], [(1, "score is not a number")], layout=NUMBERS),
    Hostile("the header of pandas", b"0,1,2\n4,0,3\n", error="Set data.header to true", layout=NUMBERS),
    Hostile("pairs from 0", b"0,1,2\n0,2,3\n", [(b"0", b"1"), (b"0", b"2")], layout=NUMBERS),
    Hostile("a header that is configured", b"0,1,2\n4,0,3\n", [(b"4", b"0")], layout=NUMBERS.replace(header=True)),
    Hostile(
        "a pair that is configured",
        b"user,item,1\n4,0,3\n",
        [(b"4", b"0"), (b"user", b"item")],
        layout=NUMBERS.replace(header=False),
    ),
    Hostile(
        "comments of SNAP",
        b"# Directed graph\n# Nodes: 60, edges: 2\n# From\tTo\n1\t2\n3\t4\tx\n3\t4\n",
        [(b"1", b"2"), (b"3", b"4")],
        [(5, "3 fields instead of 2")],
        file="pairs.tsv",
        layout=PAIRS,
    ),
    Hostile(
        "comments of KONECT",
        b"% bip weighted\n% 2 3 4\n1 2 1\n3 4 1\n",
        [(b"1", b"2"), (b"3", b"4")],
        file="out.txt",
        layout=NUMBERS,
    ),
    Hostile(
        "a header in a comment", b"# a file\n#left right score\na b 1\nc d x\n", [AB], [(4, "score is not a number")]
    ),
    Hostile(
        "a header after comments", b"# a, file\n" + HEADER + b"a,b,1\nc,d,x\n", [AB], [(4, "score is not a number")]
    ),
    Hostile("hash tags", b"#a,b,1\n#c,d,1\n", [(b"#a", b"b"), (b"#c", b"d")], layout=NUMBERS),
    Hostile(
        "comments everywhere",
        b"//x,y,1\n" + HEADER + b"a,b,1\n//x,y,1\n//\nc,d,x\n/,d,1\n",
        [(b"/", b"d"), AB],
        [(6, "score is not a number")],
        layout=NAMES.replace(comment="//"),
    ),
    # Quotation marks of R
    Hostile(
        "a table of R", b'"left"\t"right"\t"score"\n"a"\t"b"\t1\n"c"\t"d z"\t1\n', [AB, (b"c", b"d z")], file="p.tsv"
    ),
    Hostile(
        "a table of R with blanks",
        b'"left" "right" "score"\n"a" "b" 1\n"c" "d z" 1\n',
        [AB, (b"c", b"d z")],
        file="p.txt",
    ),
    Hostile("a table of R without a header", b'"a"\t"b"\t1\n"c"\t"d"\t1\n', [AB, CD], file="p.tsv", layout=NUMBERS),
    Hostile(
        "words in quotation marks in some rows of TSV",
        b'left\tright\tscore\n"a"\tb\t1\nc\td\t1\n',
        [(b'"a"', b"b"), CD],
        file="p.tsv",
    ),
    Hostile(
        "null words",
        HEADER + b"NA,b,1\na,null,1\nc,d,1\nNAN,f,1\n",
        [(b"NAN", b"f"), CD],
        [(2, "left id is one of data.null_words"), (3, "right id is one of data.null_words")],
        layout=NAMES.replace(null_words=("NA", "null")),
    ),
    Hostile("no such number", b"a,b\nc,d\n", error="has no column 2. It has 2 columns", layout=NUMBERS),
    Hostile("a header where none is expected", HEADER + b"a,b,1\n", [AB], layout=NUMBERS),
    Hostile(
        "a broken first row, no header", b"x\na,b,1\nc,d,1\n", [AB, CD], [(1, "1 fields instead of 3")], layout=NUMBERS
    ),
    Hostile("an unknown suffix", b"a,b,1\n", error="data.format: auto supports", file="pairs.md"),
    Hostile("an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), error="is an image"),
    # Gzip
    Hostile("gzip by any name", GZ, [AB] * 5000),
    Hostile(
        "two gzips in one",
        gzip.compress(HEADER + b"a,b,1\n") + gzip.compress(b"c,d,1\n"),
        [AB, CD],
        file="pairs.csv.gz",
    ),
    Hostile("gzip cut short", GZ[:-20], error="its gzip data is incomplete", file="pairs.csv.gz"),
    Hostile("gzip without its checksum", GZ[:-4], error="its gzip data is incomplete", file="pairs.csv.gz"),
    Hostile(
        "gzip with a wrong checksum",
        _flip(GZ, len(GZ) - 6),
        error="its gzip data is damaged",
        file="pairs.csv.gz",
    ),
    Hostile("gzip and garbage", GZ + b"garbage", error="its gzip data is damaged", file="pairs.csv.gz"),
    Hostile("gzip by name only", HEADER + b"a,b,1\n", error="is named .gz but is not gzip", file="pairs.csv.gz"),
    Hostile("an empty gzip file", b"", error="is empty", file="pairs.csv.gz"),
    Hostile("gzip of nothing", gzip.compress(b""), error="is empty", file="pairs.csv.gz"),
    # Other compressions, by any name
    *(
        Hostile(f"{kind} in {file}", pack(HEADER + b"a,b,1\nc,d,x\n"), [AB], [(3, "score is not a number")], file=file)
        for kind, pack in PACKERS.items()
        for file in ("pairs.csv", f"pairs.csv.{kind}")
    ),
    *(
        Hostile(
            f"two of {kind} in one", pack(HEADER + b"a,b,1\n") + pack(b"c,d,1\n"), [AB, CD], file=f"pairs.csv.{kind}"
        )
        for kind, pack in PACKERS.items()
        if kind not in ("zip", "lz4")
    ),
    *(
        Hostile(
            f"{kind} cut short",
            pack(GZ_TEXT)[:-9],
            error=f"its {kind} data is (incomplete|damaged)",
            file=f"p.csv.{kind}",
        )
        for kind, pack in PACKERS.items()
    ),
    *(
        Hostile(f"{kind} by name only", HEADER + b"a,b,1\n", error=f"but is not {kind}", file=f"pairs.csv.{kind}")
        for kind in ("xz", "bz2", "zip")
    ),
    Hostile("gzip in xz", lzma.compress(gzip.compress(HEADER + b"a,b,1\n")), [AB]),
    Hostile("a bomb", gzip.compress(HEADER + b"a,b,1\n" * 500_000), error="expands to more than 250 times its size"),
    Hostile("a bomb in zip", _zip(**{"a.csv": HEADER + b"a,b,1\n" * 500_000}), error="expands to more than"),
    Hostile(
        "a zip of several files",
        _zip(
            **{
                "x/a.csv": HEADER + b"a,b,1\n",
                "b.csv.gz": gzip.compress(HEADER + b"c,d,1\nx,y,z\n"),
                "_SUCCESS": b"",
                "e.csv": b"",
            }
        ),
        [AB, CD],
        [(3, "score is not a number")],
        file="pairs.zip",
    ),
    Hostile(
        "a workbook",
        _zip(**{"[Content_Types].xml": b"<x/>", "a.xml": b"x"}),
        error="is an Excel workbook",
        file="a.xlsx",
    ),
    Hostile("a zip of nothing", _zip(), error="no such file", file="pairs.zip"),
    Hostile("Parquet named after its compression", _packed_parquet(bytes), [AB], file="pairs.parquet.gzip"),
    Hostile("Parquet in gzip", _packed_parquet(gzip.compress), [AB], file="pairs.parquet.gz"),
    Hostile("Parquet in zip", _packed_parquet(lambda data: _zip(**{"pairs.parquet": data})), [AB], file="pairs.zip"),
    # Other formats, by their first bytes
    Hostile("Parquet under another name", _packed_parquet(bytes), [AB], file="pairs.csv"),
    Hostile("Parquet that is called CSV", _packed_parquet(bytes), error="is Parquet, not csv", layout=CSV),
    Hostile("a tar archive", gzip.compress(_tar(HEADER + b"a,b,1\n")), error="is a tar archive. Unpack it"),
    Hostile("a web page", b"<!DOCTYPE html>\n<html></html>\n", error="is a web page or XML"),
    Hostile("a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\n", error="Run git lfs pull"),
    Hostile("a database", b"SQLite format 3\0" + bytes(100), error="is a SQLite database"),
    Hostile("a pickle", pickle.dumps({"a": 1}), error="is a Python pickle"),
    # Folders
    Hostile("an empty folder", _files(), error="the directory has no files", file="folder"),
    Hostile(
        "a folder of notes", _files(_SUCCESS=b"", __hidden=b"x"), error="the directory has no files", file="folder"
    ),
    Hostile("notes beside the pairs", _files(_SUCCESS=b"", pairs__csv=HEADER + b"a,b,1\n"), [AB], file="folder"),
    Hostile(
        "a readme among the pairs",
        _files(README__md=b"#", pairs__csv=HEADER + b"a,b,1\n"),
        error="README.md ends in .md",
        file="folder",
    ),
    Hostile(
        "files of different columns",
        _files(a__csv=HEADER + b"a,b,1\n", b__csv=b"left,right,score,more\nc,d,1,z\n"),
        error="All files of one run need the same columns",
        file="folder",
    ),
    Hostile(
        "files of different widths",
        _files(a__csv=b"a,b,1\n", b__csv=b"c,d,1,z\n"),
        error="has 4 columns, and .* has 3 columns",
        file="folder",
        layout=NUMBERS,
    ),
    Hostile(
        "columns in another order",
        _files(a__csv=HEADER + b"a,b,1\n", b__csv=b"score,right,left\n1,d,c\n"),
        [AB, CD],
        file="folder",
    ),
    Hostile(
        "every format at once",
        _files(a__csv=HEADER + b"a,b,1\n", b__tsv__gz=gzip.compress(b"left\tright\tscore\nc\td\t1\n")),
        [AB, CD],
        file="folder",
    ),
    Hostile(
        "subfolders, an empty part and a hidden folder",
        _files(
            **{
                "date=1/a__csv": HEADER + b"a,b,1\n",
                "x/y/c__csv": HEADER + b"c,d,1\n",
                "e__csv": b"",
                "_t/h__csv": b"x",
            }
        ),
        [AB, CD],
        file="folder",
    ),
    Hostile("only empty parts", _files(a__csv=b"", b__csv=b""), error="a.csv, .*b.csv is empty", file="folder"),
    Hostile("brackets in the name", HEADER + b"a,b,1\n", [AB], file="pairs [1] *.csv"),
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
        _table(left=pa.array([], "string"), right=pa.array([], "string"), score=pa.array([], "double")),
        error="no row",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet with nulls",
        _table(left=["a", None, "e"], right=["b", "x", "f"], score=[1.0, 1.0, None]),
        [AB],
        [(1, "left id is empty"), (2, "score is not a number")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of integers",
        _table(left=[1, 2], right=[7, 8], score=[1, 2]),
        [(b"1", b"7"), (b"2", b"8")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of dictionaries",
        _table(left=pa.array(["a", "c"]).dictionary_encode(), right=["b", "d"], score=["1", "x"]),
        [AB],
        [(1, "score is not a number")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of lists",
        _table(left=[["a"]], right=["b"], score=[1.0]),
        error="column 'left' holds list",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of fractions for ids",
        _table(left=[1.5, 4.0, None, 2.0**60], right=["b"] * 4, score=[1.0] * 4),
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
        _table(
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
        _table(left=pa.array([bytes(range(16))], pa.binary(16)), right=[True], score=[False]),
        [(b"00010203-0405-0607-0809-0a0b0c0d0e0f", b"true")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet without scores",
        _table(left=["a"], right=["b"], score=pa.nulls(1)),
        error="column 'score' has no value in any row",
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet of times with a zone",
        _table(left=["a"], right=["b"], score=[1], time=pa.array([0], pa.timestamp("ns", "Europe/Paris"))),
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
        _table(left=["a", "c"], right=["b", "d"], score=np.array([np.nan, 1.0])),
        [CD],
        [(0, "score is not finite")],
        file="pairs.parquet",
    ),
    Hostile(
        "Parquet, no such column",
        _table(left=["a"], right=["b"], rating=[1.0]),
        error="no column 'score'",
        file="pairs.parquet",
    ),
    # TFRecord
    Hostile("TFRecord", _records(GOOD_EXAMPLE), [AB], file="pairs.tfrecord"),
    Hostile(
        "TFRecord with gaps",
        _records(GOOD_EXAMPLE, example(left=[b"c"], score=[1.0]), example(left=[], right=[b"d"], score=[1.0])),
        [AB],
        [(1, "right id is empty"), (2, "left id is empty")],
        file="pairs.tfrecord.gz",
    ),
    Hostile(
        "TFRecord with several values",
        _records(example(left=[b"a", b"c"], right=[b"b"], score=[1.0]), GOOD_EXAMPLE),
        [AB],
        [(0, "left id has 2 values")],
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord of something else",
        _records(b"garbage", GOOD_EXAMPLE),
        [AB],
        [(0, "record is not a tf.Example")],
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord of mixed types",
        _records(GOOD_EXAMPLE, example(left=[7], right=[b"d"], score=[1])),
        [(b"7", b"d"), AB],
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord cut within a record",
        _record_bytes(GOOD_EXAMPLE, GOOD_EXAMPLE, change=lambda data: data[:-3]),
        error="ends within record 2",
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord cut within a header",
        _record_bytes(GOOD_EXAMPLE, GOOD_EXAMPLE, change=lambda data: data[: len(data) // 2 + 5]),
        error="ends within record",
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord with a flipped bit",
        _record_bytes(GOOD_EXAMPLE, GOOD_EXAMPLE, change=lambda data: _flip(data, 20)),
        error="is damaged",
        file="pairs.tfrecord",
    ),
    Hostile(
        "TFRecord cut in gzip",
        _record_bytes(GOOD_EXAMPLE, change=lambda data: data[:-6]),
        error="its gzip data is incomplete",
        file="pairs.tfrecord.gz",
    ),
    Hostile("no TFRecord", b"left,right,score\n" * 9, error="it is not a TFRecord file", file="pairs.tfrecord"),
    Hostile(
        "TFRecord by numbers",
        _records(GOOD_EXAMPLE),
        error="have names, not numbers",
        file="pairs.tfrecord",
        layout=NUMBERS,
    ),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_file(hostile: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_BYTES", 1 << 20)
    path = hostile.write(tmp_path)
    wanted = settings(hostile.layout, **hostile.changes)
    if hostile.error is not None:
        with pytest.raises(InputError, match=re.compile(hostile.error, re.DOTALL)) as refusal:
            ingest(path, tmp_path / "out", wanted, inline=True)
        assert str(path) in str(refusal.value)
        return
    found = ingest(path, tmp_path / "out", wanted, inline=True)
    assert [row[:2] for row in found.rows] == sorted(hostile.good)
    places = [row["row"] if row["line"] is None else row["line"] for row in found.bad]
    assert list(zip(places, (row["reason"] for row in found.bad), strict=True)) == hostile.bad
    assert all(row["raw"] or "empty" in row["reason"] for row in found.bad)
    counts = {
        "train": len(found.train),
        "eval": len(found.eval),
        "read": len(found.rows),
        "quarantined": len(found.bad),
        "weightless": 0,
    }
    assert found.properties == counts


def test_there_are_enough() -> None:
    assert len({hostile.name for hostile in HOSTILE}) == len(HOSTILE) >= 60
