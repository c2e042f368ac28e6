"""Reads from a file of pairs which partners an entity has."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pydantic
import typer

from components.pair_example_gen.reading import chunks
from components.pair_example_gen.settings import ColumnSettings, PairFiles
from errors import InputError


def partners(path: Path, columns: str, side: str, entity: bytes) -> list[bytes]:
    """Returns the distinct ids of one side that occur in a pair with an entity of the other side.

    Args:
      path: a file in any format that a pipeline reads.
      columns: the names or numbers of the columns of left and right ids, separated by a comma.
      side: the side of the partners, `left` or `right`.
      entity: an id of the other side.

    Raises:
      InputError: there is no such file, or it lacks a column.
    """
    if not path.is_file():
        raise InputError(f"--exclude-seen {path}: no such file")
    layout = PairFiles(path=str(path), columns=columns_of(columns))
    other = "left" if side == "right" else "right"
    found: set[bytes] = set()
    try:
        for chunk in chunks.cut(0, str(path), layout):
            for rows in chunks.read(chunk, layout):
                own = rows.columns[other].cast(pa.binary())
                partner = rows.columns[side].cast(pa.binary()).filter(pc.equal(own, pa.scalar(entity, pa.binary())))
                found.update(name for name in partner.to_pylist() if name)
    except InputError as error:
        raise InputError(f"--exclude-seen {path}: {error}. Name the columns with --columns LEFT,RIGHT") from None
    return sorted(found)


def columns_of(text: str) -> ColumnSettings:
    """Returns the columns that `--columns` names.

    Raises:
      typer.BadParameter: they are not two names or two numbers.
    """
    names = [int(name) if name.isdecimal() else name for name in text.split(",")]
    try:
        left, right = names
        return ColumnSettings(left=left, right=right)
    except (ValueError, pydantic.ValidationError):
        raise typer.BadParameter(
            f"must be two columns, both names or both numbers, such as user,film or 0,1 (got {text!r})",
            param_hint="--columns",
        ) from None
