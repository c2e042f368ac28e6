"""Records the input files of a data set and their digests for lineage."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
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
      digest: `sha256:...`, or the checksum of a remote file system.
    """

    path: str
    bytes: int
    digest: str


def write(paths: list[str], examples_uri: str) -> None:
    """Writes `inputs.json` about the files `paths` next to the splits of an examples artifact."""
    described = [dataclasses.asdict(_describe(path)) for path in dict.fromkeys(map(archives.on_disk, paths))]
    with open(os.path.join(examples_uri, INPUTS_FILE), "w", encoding="utf-8") as out:
        json.dump(described, out, indent=1)


def read(examples_uri: str) -> list[InputFile]:
    """Reads the file that `write` wrote. Returns an empty list for older artifacts without one."""
    path = os.path.join(examples_uri, INPUTS_FILE)
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8") as source:
        return [InputFile(**file) for file in json.load(source)]


def _describe(path: str) -> InputFile:
    size, _ = files.fingerprint(path)
    if files.is_remote(path):
        from apache_beam.io.filesystems import FileSystems

        return InputFile(path, size, f"checksum:{FileSystems.checksum(path)}")
    with files.readable(path), open(path, "rb") as source:
        return InputFile(path, size, f"sha256:{_sha256(source)}")


def _sha256(source: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := source.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
