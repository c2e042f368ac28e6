"""Recognizes files of another format than configured by their first lines."""

from __future__ import annotations

import re

from components.pair_example_gen import json_lines
from components.pair_example_gen.records import Block
from errors import InputError

_COUNTED_RECORDS = 1000
_NUMBERS = re.compile(rb"\d+(?:[ \t]+\d+)*[ \t]*")
_BLANKS = re.compile(rb"[ \t]+")


def refuse_other_format(file: str, block: Block) -> None:
    """Checks that a file of delimited text is neither JSON lines nor adjacency lists.

    Raises:
      InputError: names the format and the keys to set.
    """
    data = block.data.tobytes()
    records = list(zip(block.starts.tolist(), block.ends.tolist(), strict=True))[:_COUNTED_RECORDS]
    lines = [data[start:end] for start, end in records]
    if json_lines.is_object(lines[0]):
        raise InputError(f"data.format: {file} holds JSON lines. Set data.format to jsonl")
    if is_adjacency(lines):
        raise InputError(
            f"data.format: {file} looks like adjacency lists, a left id followed by its right ids, because its lines "
            "are whole numbers and have different lengths. Set data.format to adjacency, and data.columns to "
            "{left: 0, right: 1}"
        )


def is_adjacency(lines: list[bytes]) -> bool:
    """Returns whether all lines are whole numbers with blanks between them, and their lengths vary.

    A file with a fixed number of columns has one length. With a few broken lines it still has a most common one.
    """
    if not all(map(_NUMBERS.fullmatch, lines)):
        return False
    lengths = [len(_BLANKS.split(line.strip())) for line in lines]
    return max(lengths) > 2 and max(map(lengths.count, set(lengths))) <= len(lines) / 2
