"""Section `data`: which files hold the pairs, and how PairExampleGen reads them."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field, StrictStr

from sections import NonNegativeInt, Number, PositiveInt, Section, Share, Text

Column = StrictStr | NonNegativeInt
Quoting = Literal["auto", "double", "none"]


class ColumnSettings(Section):
    """Section `data.columns`: the column of each role, by name, or by number from 0 in files without a header.

    Without a `score`, every pair is positive. `weight` is the weight of a row. `time` is when it was observed.
    """

    left: Column
    right: Column
    score: Column | None = None
    weight: Column | None = None
    time: Column | None = None

    @pydantic.model_validator(mode="after")
    def _one_kind_and_distinct(self) -> ColumnSettings:
        columns = list(self.roles.values())
        if len({type(column) for column in columns}) > 1:
            raise ValueError("columns must be all names (the file has a header) or all numbers (it has none)")
        if len(set(columns)) < len(columns):
            raise ValueError("left, right, score, weight and time must be different columns")
        return self

    @property
    def has_header(self) -> bool:
        """Whether the first line of each file names its columns."""
        return isinstance(self.left, str)

    @property
    def roles(self) -> dict[str, Column]:
        """The column of each role: left, right, and score, weight and time where configured."""
        return {role: column for role, column in self if column is not None}


class SplitSettings(Section):
    """Section `data.split`: which pairs go to the eval split.

    `pair` and `left` choose by a hash of the pair or of the left entity. `time` chooses the newest pairs.
    """

    by: Literal["pair", "left", "time"] = "pair"
    eval_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1


class PairFiles(Section):
    """Files of pairs and their layout.

    `quoting` allows quoted fields in CSV and TSV. `auto` allows them in CSV only, because a quotation mark can be part
    of a word in a TSV file.
    """

    path: Text
    format: Literal["auto", "csv", "tsv", "parquet", "tfrecord"] = "auto"
    quoting: Quoting = "auto"
    columns: ColumnSettings = ColumnSettings(left="left_id", right="right_id", score="score")


class DataSettings(PairFiles):
    """Section `data`: the files, the split, the duplicate policy and the limits of PairExampleGen."""

    split: SplitSettings = SplitSettings()
    duplicates: Literal["keep", "last", "mean", "refuse"] = "keep"
    max_id_bytes: PositiveInt = 1024
    max_quarantined_fraction: Share = 0.01

    @pydantic.model_validator(mode="after")
    def _time_to_split_by(self) -> DataSettings:
        if self.split.by == "time" and self.columns.time is None:
            raise ValueError("split.by: time needs columns.time, the column of timestamps")
        if self.duplicates == "mean" and self.columns.score is None:
            raise ValueError("duplicates: mean needs columns.score. Use keep, last or refuse")
        return self

    @property
    def sees_pairs_whole(self) -> bool:
        """Whether all rows of a pair must be read before any of them is written."""
        return self.duplicates != "keep" or self.split.by == "time"


class IngestSettings(DataSettings):
    """Section `data`, with the minimum and the maximum score that the schema allows."""

    score_min: Number | None = None
    score_max: Number | None = None
