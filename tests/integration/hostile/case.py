"""A hostile input file, and helpers that make such files."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.pair_example_gen.settings import PairFiles
from tests.integration.ingesting import NAMES, example, layout, write_parquet, write_tfrecord

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


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def written_files(**contents: bytes) -> Make:
    def make(path: Path) -> None:
        path.mkdir()
        for name, content in contents.items():
            file = path / name.replace("__", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    return make


def tfrecords(*records: bytes) -> Make:
    return lambda path: write_tfrecord(path, list(records))


def tfrecord_bytes(*records: bytes, change: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        write_tfrecord(path, list(records))
        path.write_bytes(change(path.read_bytes()))

    return make


def parquet_table(**columns: Any) -> Make:
    return lambda path: write_parquet(path, columns)


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return content.getvalue()


def tarred(data: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as out:
        member = tarfile.TarInfo("pairs.csv")
        member.size = len(data)
        out.addfile(member, io.BytesIO(data))
    return content.getvalue()


def packed_parquet(pack: Callable[[bytes], bytes]) -> Make:
    def make(path: Path) -> None:
        write_parquet(path, {"left": ["a"], "right": ["b"], "score": [1.0]})
        path.write_bytes(pack(path.read_bytes()))

    return make


NO_NUMBER = (3, "score is not a number")
GZ_TEXT = HEADER + b"".join(b"l%d,r%d,%d\n" % (n, n * n, n % 7) for n in range(2000))
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    "lz4": lambda data: arrow_stream(data, "lz4"),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda data: zipped(**{"pairs.csv": data}),
}


def arrow_stream(data: bytes, kind: str) -> bytes:
    content = pa.BufferOutputStream()
    with pa.CompressedOutputStream(content, kind) as out:
        out.write(data)
    return bytes(content.getvalue())


GOOD_EXAMPLE = example(left=[b"a"], right=[b"b"], score=[1.0])
