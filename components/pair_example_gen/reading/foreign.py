"""Recognizes files by their first bytes: Parquet under any name, and formats that need a conversion."""

from __future__ import annotations

import re

from components.pair_example_gen import files
from components.pair_example_gen.reading.compression import PARQUET
from errors import InputError

_HEAD_BYTES = 512
_TAR = (257, b"ustar")
_UNPACK = "Unpack it"
_CONVERT = "Convert it to Parquet or CSV"
# First bytes, name of the format, next step.
_FOREIGN = [
    (rb"SQLite format 3\x00", "a SQLite database", _CONVERT),
    (rb"\x89HDF\r\n", "HDF5", _CONVERT),
    (rb"Obj\x01", "Avro", _CONVERT),
    (rb"ORC[\x00-\x1f\x80-\xff]", "ORC", _CONVERT),
    (rb"ARROW1\x00|FEA1[\x00-\x1f\x80-\xff]", "Arrow or Feather", _CONVERT),
    (rb"\x93NUMPY", "a NumPy array", _CONVERT),
    (rb"\x80[\x02-\x05][\x95}\]cK(]", "a Python pickle", _CONVERT),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook or another Office file", "Save it as CSV"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x1f\x9d", "an archive of another kind", _UNPACK),
    (rb"\x89PNG|GIF8[79]a|\xff\xd8\xff|%PDF-|\x7fELF", "an image, a document or a program", "Correct data.path"),
    (rb"(?i)\s*<(!doctype html|html|\?xml)", "a web page or XML", "Look at it. A download may have failed"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the data", "Run git lfs pull"),
]


def is_parquet(file: str) -> bool:
    """Returns whether a file is Parquet, also inside a compression.

    Raises:
      InputError: it is unreadable, or of a format that cannot be read. The message names the format.
    """
    with files.readable(file), files.byte_stream(file) as stream:
        head = stream.read(_HEAD_BYTES)
    at, text = _TAR
    if head[at : at + len(text)] == text:
        raise InputError(f"data.path: {file} is a tar archive. {_UNPACK}")
    for magic, name, step in _FOREIGN:
        if re.match(magic, head, re.DOTALL):
            raise InputError(f"data.path: {file} is {name}. {step}")
    return head.startswith(PARQUET)
