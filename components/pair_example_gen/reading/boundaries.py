"""Finds places between records where a file can be cut, and the numbers of their lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from components.pair_example_gen import files
from components.pair_example_gen.reading.records import Block


def record_ends(
    file: str, start: int, line: int, blocks: Callable[..., Iterator[Block]], quoted: bool, block_bytes: int
) -> Iterator[tuple[int, int]]:
    """Yields the last end of a record in every `block_bytes` or so, and the number of the next line.

    Only counts lines, up to the first quotation mark that may hide a line end, because that takes a tenth of the time.

    Args:
      file: path or URL of plain text.
      start: the first byte of the first record.
      line: its line.
      blocks: finds the records of a stream.
      quoted: whether fields may be in quotation marks.
      block_bytes: bytes to read at once.
    """
    with files.byte_stream(file, start) as stream:
        read = start
        while data := stream.read(block_bytes):
            if quoted and b'"' in data:
                break
            if last := data.rfind(b"\n") + 1:
                start, line = read + last, line + data.count(b"\n")
                yield start, line
            read += len(data)
        else:
            if start < read:
                yield read, line
            return
    with files.byte_stream(file, start) as stream:
        for block in blocks(stream, line, block_bytes):
            yield start + block.used, block.next_line
