"""Reads ids and pairs from files, in any format that a pipeline reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.pair_example_gen.reading import chunks
from components.pair_example_gen.settings import ColumnSettings, PairFiles
from errors import InputError


def pairs(option: str, path: Path, columns: ColumnSettings) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yields the left and the right ids of a file in the order of its rows, a few megabytes at a time, as binary.

    Args:
      option: how messages name the file.
      path: the file.
      columns: the columns of left and right ids.

    Raises:
      InputError: there is no such file, it lacks a column, or a row has no id.
    """
    if not path.is_file():
        raise InputError(f"{option} {path}: no such file")
    layout = PairFiles(path=str(path), columns=columns)
    row = 0
    try:
        for chunk in chunks.cut(0, str(path), layout):
            for rows in chunks.read(chunk, layout):
                if len(rows.broken):
                    broken = rows.broken.to_pylist()[0]
                    raise InputError(f"a row is not of {columns.left} and {columns.right}: {broken['reason']}")
                left, right = (rows.columns[role].cast(pa.binary()) for role in ("left", "right"))
                _refuse_missing(left, columns.left, row)
                _refuse_missing(right, columns.right, row)
                row += len(left)
                yield left, right
    except InputError as error:
        raise InputError(f"{option} {path}: {error}. Name the columns with --columns LEFT,RIGHT") from None


def distinct_ids(option: str, path: Path, columns: ColumnSettings, side: str) -> pa.Array:
    """Returns the distinct ids of one side in a file, in the order of their first row, as binary.

    A .txt file has one id per line. Other files have pairs.

    Raises:
      InputError: see `pairs`.
    """
    if path.suffix == ".txt":
        if not path.is_file():
            raise InputError(f"{option} {path}: no such file")
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
        return pc.unique(pa.array([line for line in lines if line], pa.binary()))
    found = pa.array([], pa.binary())
    for left, right in pairs(option, path, columns):
        own = pc.unique(left if side == "left" else right)
        found = pc.unique(pa.concat_arrays([found, own]))
    return found


def _refuse_missing(ids: pa.Array, column: object, first: int) -> None:
    missing = pc.or_kleene(pc.is_null(ids), pc.equal(pc.binary_length(ids), 0))
    if pc.any(missing).as_py():
        raise InputError(f"row {first + pc.index(missing, True).as_py() + 1} has no id in column {column}")
