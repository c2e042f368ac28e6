"""How files are stored: names, compressions, foreign formats and folders."""

from __future__ import annotations

import gzip
import lzma
import pickle

from tests.integration.hostile.case import (
    AB,
    CD,
    CSV,
    GZ,
    GZ_TEXT,
    HEADER,
    PACKERS,
    PAIRS,
    Hostile,
    flipped,
    packed_parquet,
    tarred,
    written_files,
    zipped,
)
from tests.integration.ingesting import NAMES, NUMBERS

STORAGE = [
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
        flipped(GZ, len(GZ) - 6),
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
    Hostile("a bomb in zip", zipped(**{"a.csv": HEADER + b"a,b,1\n" * 500_000}), error="expands to more than"),
    Hostile(
        "a zip of several files",
        zipped(
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
        zipped(**{"[Content_Types].xml": b"<x/>", "a.xml": b"x"}),
        error="is an Excel workbook",
        file="a.xlsx",
    ),
    Hostile("a zip of nothing", zipped(), error="no such file", file="pairs.zip"),
    Hostile("Parquet named after its compression", packed_parquet(bytes), [AB], file="pairs.parquet.gzip"),
    Hostile("Parquet in gzip", packed_parquet(gzip.compress), [AB], file="pairs.parquet.gz"),
    Hostile("Parquet in zip", packed_parquet(lambda data: zipped(**{"pairs.parquet": data})), [AB], file="pairs.zip"),
    # Other formats, by their first bytes
    Hostile("Parquet under another name", packed_parquet(bytes), [AB], file="pairs.csv"),
    Hostile("Parquet that is called CSV", packed_parquet(bytes), error="is Parquet, not csv", layout=CSV),
    Hostile("a tar archive", gzip.compress(tarred(HEADER + b"a,b,1\n")), error="is a tar archive. Unpack it"),
    Hostile("a web page", b"<!DOCTYPE html>\n<html></html>\n", error="is a web page or XML"),
    Hostile("a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\n", error="Run git lfs pull"),
    Hostile("a database", b"SQLite format 3\0" + bytes(100), error="is a SQLite database"),
    Hostile("a pickle", pickle.dumps({"a": 1}), error="is a Python pickle"),
    # Folders
    Hostile("an empty folder", written_files(), error="the directory has no files", file="folder"),
    Hostile(
        "a folder of notes",
        written_files(_SUCCESS=b"", __hidden=b"x"),
        error="the directory has no files",
        file="folder",
    ),
    Hostile("notes beside the pairs", written_files(_SUCCESS=b"", pairs__csv=HEADER + b"a,b,1\n"), [AB], file="folder"),
    Hostile(
        "a readme among the pairs",
        written_files(README__md=b"#", pairs__csv=HEADER + b"a,b,1\n"),
        error="README.md ends in .md",
        file="folder",
    ),
    Hostile(
        "files of different columns",
        written_files(a__csv=HEADER + b"a,b,1\n", b__csv=b"left,right,score,more\nc,d,1,z\n"),
        error="All files of one run need the same columns",
        file="folder",
    ),
    Hostile(
        "files of different widths",
        written_files(a__csv=b"a,b,1\n", b__csv=b"c,d,1,z\n"),
        error="has 4 columns, and .* has 3 columns",
        file="folder",
        layout=NUMBERS,
    ),
    Hostile(
        "columns in another order",
        written_files(a__csv=HEADER + b"a,b,1\n", b__csv=b"score,right,left\n1,d,c\n"),
        [AB, CD],
        file="folder",
    ),
    Hostile(
        "every format at once",
        written_files(a__csv=HEADER + b"a,b,1\n", b__tsv__gz=gzip.compress(b"left\tright\tscore\nc\td\t1\n")),
        [AB, CD],
        file="folder",
    ),
    Hostile(
        "subfolders, an empty part and a hidden folder",
        written_files(
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
    Hostile("only empty parts", written_files(a__csv=b"", b__csv=b""), error="a.csv, .*b.csv is empty", file="folder"),
    Hostile("brackets in the name", HEADER + b"a,b,1\n", [AB], file="pairs [1] *.csv"),
]
