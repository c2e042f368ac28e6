"""Records the input files of a data set and their digests for lineage."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from components.pair_example_gen import files
from components.pair_example_gen.reading import archives

INPUTS_FILE = "inputs.json"


@dataclasses.dataclass(frozen=True)
class InputFile:
    """An input file.

    Attributes:
      path: path or URL.
      bytes: size in bytes.
      digest: `sha256:...`.
    """

    path: str
    bytes: int
    digest: str


@contextlib.contextmanager
def described_aside(paths: list[str]) -> Iterator[Future[list[InputFile]]]:
    """Describes the files `paths` on another thread, while this one reads them. Stops at the end of the block."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        try:
            distinct = dict.fromkeys(map(archives.on_disk, paths))
            yield thread.submit(lambda: [_describe(path, stop) for path in distinct])
        finally:
            stop.set()


def write(described: list[InputFile], examples_uri: str) -> None:
    """Writes `inputs.json` next to the splits of an examples artifact."""
    with open(os.path.join(examples_uri, INPUTS_FILE), "w", encoding="utf-8") as out:
        json.dump([dataclasses.asdict(file) for file in described], out, indent=1)


def read(examples_uri: str) -> list[InputFile]:
    """Reads the file that `write` wrote. Returns an empty list for older artifacts without one."""
    path = os.path.join(examples_uri, INPUTS_FILE)
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8") as source:
        return [InputFile(**file) for file in json.load(source)]


def _describe(path: str, stop: threading.Event) -> InputFile:
    size, _ = files.fingerprint(path)
    with files.readable(path), open(path, "rb") as source:
        return InputFile(path, size, f"sha256:{_sha256(source, stop)}")


def _sha256(source: BinaryIO, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    while not stop.is_set() and (block := source.read(1 << 20)):
        digest.update(block)
    return digest.hexdigest()
