"""Reads ids and pairs from files, in any format that a pipeline reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.reading import chunks
from components.pair_example_gen.settings import ColumnSettings, PairFiles
from components.pair_example_gen.source import any_span, find_files, split_path
from errors import InputError


def pairs(
    option: str, path: str, columns: ColumnSettings, skip_broken: bool = False
) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yields the left and the right ids of files in the order of their rows, a few megabytes at a time, as binary.

    Args:
      option: how messages name the path.
      path: a file, a directory, a glob, or a pattern of spans, of which all are read.
      columns: the columns of left and right ids.
      skip_broken: whether to leave out rows without ids, as a run does. Otherwise, they are refused.

    Raises:
      InputError: there is no such file, it lacks a column, or a row has no id.
    """
    for file in files_of(option, path):
        layout = PairFiles(path=file, columns=columns)
        try:
            yield from _of_file(file, layout, skip_broken)
        except InputError as error:
            raise InputError(f"{option} {file}: {error}. Name the columns with --columns LEFT,RIGHT") from None


def _of_file(file: str, layout: PairFiles, skip_broken: bool) -> Iterator[tuple[pa.Array, pa.Array]]:
    row = 0
    for chunk in chunks.cut(0, file, layout):
        for rows in chunks.read(chunk, layout):
            if len(rows.broken) and not skip_broken:
                broken = rows.broken.to_pylist()[0]
                raise InputError(
                    f"a row is not of {layout.columns.left} and {layout.columns.right}: {broken['reason']}"
                )
            left, right = (rows.columns[role].cast(pa.binary()) for role in ("left", "right"))
            missing = pc.or_(_is_missing(left), _is_missing(right))
            if skip_broken:
                left, right = (ids.filter(pc.invert(missing)) for ids in (left, right))
            elif (first := pc.index(missing, True).as_py()) >= 0:
                column = layout.columns.left if _is_missing(left)[first].as_py() else layout.columns.right
                raise InputError(f"row {row + first + 1} has no id in column {column}")
            row += len(missing)
            yield left, right


def files_of(option: str, path: str) -> list[str]:
    """Returns the files of a path as `data.path` has it, with those of all spans.

    Raises:
      InputError: there is no such file.
    """
    if os.path.isfile(path):
        return [path]
    try:
        return find_files(*split_path(any_span(os.path.expanduser(path)))).files
    except InputError:
        problem = "the directory has no files" if os.path.isdir(path) else "no such file"
        raise InputError(f"{option} {path}: {problem}") from None


def distinct_ids(option: str, path: str, columns: ColumnSettings, side: str) -> pa.Array:
    """Returns the distinct ids of one side in files, in the order of their first row, as binary.

    A .txt file has one id per line. Other files have pairs.

    Raises:
      InputError: see `pairs`.
    """
    if path.endswith(".txt"):
        contents = (Path(file).read_bytes().removeprefix(b"\xef\xbb\xbf") for file in files_of(option, path))
        lines = [line for content in contents for line in content.splitlines() if line]
        return pc.unique(pa.array(lines, pa.binary()))
    found = pa.array([], pa.binary())
    for left, right in pairs(option, path, columns):
        own = pc.unique(left if side == "left" else right)
        found = pc.unique(pa.concat_arrays([found, own]))
    return found


def _is_missing(ids: pa.Array) -> pa.Array:
    return pc.or_kleene(pc.is_null(ids), pc.equal(pc.binary_length(ids), 0)).fill_null(True)
