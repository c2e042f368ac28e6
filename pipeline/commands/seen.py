"""Reads from files of pairs which partners an entity has."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pydantic
import typer

from components.pair_example_gen.settings import ColumnSettings
from pipeline.commands.batch.reading import pairs


def partners(path: str, columns: str, side: str, entity: bytes) -> list[bytes]:
    """Returns the distinct ids of one side that occur in a pair with an entity of the other side.

    Args:
      path: files in any format that a pipeline reads.
      columns: the names or numbers of the columns of left and right ids, separated by a comma.
      side: the side of the partners, `left` or `right`.
      entity: an id of the other side.

    Raises:
      InputError: there is no such file, or it lacks a column.
    """
    found: set[bytes] = set()
    for left, right in pairs("--exclude-seen", path, columns_of(columns), skip_broken=True):
        partner, own = (left, right) if side == "left" else (right, left)
        found.update(partner.filter(pc.equal(own, pa.scalar(entity, pa.binary()))).to_pylist())
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
