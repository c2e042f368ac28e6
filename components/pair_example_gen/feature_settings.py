"""Sections `data.left_features` and `data.right_features`: the files with the features of the entities of a side."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field

from components.pair_example_gen.text_files import Column, TextFiles
from storage.settings import DataPath
from trainer.entity_features.settings import FeatureColumns

# The published model has inputs such as `left_id`.
_RESERVED = ("id",)


class FeatureFiles(TextFiles):
    """Files with a row for each entity of a side: its id and its features.

    Attributes:
      path: a file, a folder or a pattern.
      format: the format of the files.
      id: the column of ids.
      columns: each feature by its name.
    """

    path: DataPath
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "tfrecord"] = "auto"
    id: Column
    columns: Annotated[FeatureColumns, Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _one_kind_of_columns(self) -> FeatureFiles:
        for name in self.columns:
            if name in _RESERVED:
                raise ValueError(f"columns: the name {name!r} is taken. Use another name, and `column` for the column")
        found = [self.id, *self.columns_by_name.values()]
        if len({type(column) for column in found}) > 1:
            raise ValueError(
                "id and columns must be all names (the file has a header) or all numbers (it has none). A feature with "
                "a number needs `column`"
            )
        return self

    @property
    def columns_by_name(self) -> dict[str, Column]:
        """The column in the file of each feature."""
        return {name: name if given.column is None else given.column for name, given in self.columns.items()}
