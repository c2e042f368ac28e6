"""Section `data`: where the pairs are and how to read them."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field, StrictStr

from sections import NonNegativeInt, Number, PositiveInt, Section, Text

Column = StrictStr | NonNegativeInt


class Columns(Section):
    """The columns of a pair: names, or numbers starting at 0 for files without a header.

    Without `score`, every pair is a positive. `weight` is the weight of a row, and `time` its timestamp.
    """

    left: Column
    right: Column
    score: Column | None = None
    weight: Column | None = None
    time: Column | None = None

    @pydantic.model_validator(mode="after")
    def _one_kind_and_distinct(self) -> Columns:
        columns = [c for c in (self.left, self.right, self.score, self.weight, self.time) if c is not None]
        if len({type(column) for column in columns}) > 1:
            raise ValueError("columns must be all names (the file has a header) or all numbers (it has none)")
        if len(set(columns)) < len(columns):
            raise ValueError("left, right, score, weight and time must be different columns")
        return self

    @property
    def has_header(self) -> bool:
        """Whether the first line of each file has the column names."""
        return isinstance(self.left, str)


class Split(Section):
    """Which pairs are used for evaluation: chosen by a hash of the pair or of the left entity, or the newest ones."""

    by: Literal["pair", "left", "time"] = "pair"
    eval_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1


class Data(Section):
    """Where the pairs are and how to read them."""

    path: Text
    format: Literal["auto", "csv", "tsv", "parquet", "tfrecord"] = "auto"
    quoting: Literal["auto", "double", "none"] = "auto"
    columns: Columns = Columns(left="left_id", right="right_id", score="score")
    split: Split = Split()
    duplicates: Literal["keep", "last", "mean", "refuse"] = "keep"
    max_id_bytes: PositiveInt = 1024
    max_quarantined_fraction: Annotated[Number, Field(ge=0, le=1)] = 0.01

    @pydantic.model_validator(mode="after")
    def _time_to_split_by(self) -> Data:
        if self.split.by == "time" and self.columns.time is None:
            raise ValueError("split.by: time needs columns.time, the column of timestamps")
        if self.duplicates == "mean" and self.columns.score is None:
            raise ValueError("duplicates: mean needs columns.score. Use keep, last or refuse")
        return self
