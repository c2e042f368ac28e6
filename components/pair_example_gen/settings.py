"""Section `data`: which files hold the pairs, and how PairExampleGen reads them."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from components.pair_example_gen.feature_settings import FeatureFiles
from components.pair_example_gen.text_files import Column, TextFiles
from sections import Number, PositiveInt, Section, Share, Text
from storage.settings import DataPath, StorageSettings


class ColumnSettings(Section):
    """Section `data.columns`: the column of each role, by name, or by number from 0 in files without a header.

    Without a `score`, every pair is positive. `weight` is the weight of a row. `time` is when it was observed. `fold`
    names the part of a given split that the row belongs to.
    """

    left: Column
    right: Column
    score: Column | None = None
    weight: Column | None = None
    time: Column | None = None
    fold: Column | None = None

    @pydantic.model_validator(mode="after")
    def _one_kind_and_distinct(self) -> ColumnSettings:
        columns = list(self.roles.values())
        if len({type(column) for column in columns}) > 1:
            raise ValueError("columns must be all names (the file has a header) or all numbers (it has none)")
        if len(set(columns)) < len(columns):
            raise ValueError("left, right, score, weight, time and fold must be different columns")
        return self

    @property
    def has_header(self) -> bool:
        """Whether the first line of each file names its columns."""
        return isinstance(self.left, str)

    @property
    def roles(self) -> dict[str, Column]:
        """The column of each role: left, right, and the others where configured."""
        return {role: column for role, column in self if column is not None}


class SplitSettings(Section):
    """Section `data.split`: which pairs go to the eval split.

    `pair`, `left` and `right` choose by a hash of the pair or of the entity. `time` chooses the newest pairs. `column`
    chooses the rows whose `data.columns.fold` is one of `eval_folds`.
    """

    by: Literal["pair", "left", "right", "time", "column"] = "pair"
    eval_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    eval_folds: tuple[StrictStr | StrictInt | StrictBool, ...] = ()

    @pydantic.model_validator(mode="after")
    def _folds_of_a_column(self) -> SplitSettings:
        if self.by == "column" and not self.eval_folds:
            raise ValueError("split.by: column needs split.eval_folds, the values of columns.fold that mark eval rows")
        if self.by != "column" and self.eval_folds:
            raise ValueError(f"split.eval_folds has no effect with by: {self.by}. Use by: column, or omit it")
        return self


class PairFiles(TextFiles):
    """Files of pairs and their layout."""

    path: DataPath
    format: Literal["auto", "csv", "tsv", "jsonl", "adjacency", "parquet", "tfrecord"] = "auto"
    columns: ColumnSettings = ColumnSettings(left="left_id", right="right_id", score="score")

    @pydantic.model_validator(mode="after")
    def _columns_of_the_format(self) -> PairFiles:
        if self.format == "adjacency" and self.columns.roles != {"left": 0, "right": 1}:
            raise ValueError(
                "format: adjacency needs columns: {left: 0, right: 1}. A line has one left id, then right ids"
            )
        return self


def _span_bound(value: Any) -> Any:
    """Reads the number or the date of a span."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return datetime.date.fromisoformat(value)
    is_date = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not (value is None or is_date or is_number):
        raise ValueError("must be the number of a span, or a date as YYYY-MM-DD")
    return value


SpanBound = int | datetime.date
_Bound = Annotated[SpanBound | None, BeforeValidator(_span_bound)]


class SpanSettings(Section):
    """Section `data.spans`: which spans of the path a run reads, all by default.

    `first` and `last` are the numbers or the dates of the oldest and of the newest span. Of these spans, the `latest`
    ones are read.
    """

    latest: PositiveInt | None = None
    first: _Bound = None
    last: _Bound = None

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> SpanSettings:
        if self.first is None or self.last is None:
            return self
        if type(self.first) is not type(self.last):
            raise ValueError("first and last must both be numbers, or both dates")
        if (self.first, self.last) != tuple(sorted((self.first, self.last))):
            raise ValueError("first must not be after last")
        return self


class AgeWeightSettings(Section):
    """Section `data.age_weight`: rows count half as much for each `half_life` of their age.

    The age is the difference from the newest row: `by: span` in spans (days, if spans are dates), and `by: time` in the
    unit of the column `time` (seconds, if it has dates).
    """

    half_life: Annotated[Number, Field(gt=0)]
    by: Literal["span", "time"] = "span"


class DataSettings(PairFiles):
    """Section `data`: the files, the split, the duplicate policy and the limits of PairExampleGen."""

    spans: SpanSettings = SpanSettings(latest=1)
    split: SplitSettings = SplitSettings()
    duplicates: Literal["keep", "last", "mean", "refuse"] = "keep"
    age_weight: AgeWeightSettings | None = None
    max_id_bytes: PositiveInt = 1024
    max_quarantined_fraction: Share = 0.01
    left_features: FeatureFiles | None = None
    right_features: FeatureFiles | None = None

    @pydantic.model_validator(mode="after")
    def _columns_that_are_needed(self) -> DataSettings:
        if self.split.by == "time" and self.columns.time is None:
            raise ValueError("split.by: time needs columns.time, the column of timestamps")
        if self.split.by == "column" and self.columns.fold is None:
            raise ValueError("split.by: column needs columns.fold, the column that names the fold of each row")
        if self._is_weighted_by_time and self.columns.time is None:
            raise ValueError("age_weight.by: time needs columns.time, the column of timestamps. Or use by: span")
        if self.duplicates == "mean" and self.columns.score is None:
            raise ValueError("duplicates: mean needs columns.score. Use keep, last or refuse")
        return self

    @property
    def sees_pairs_whole(self) -> bool:
        """Whether all rows of a pair must be read before any of them is written."""
        return self.duplicates != "keep" or self.split.by == "time" or self._is_weighted_by_time

    @property
    def weighted(self) -> bool:
        """Whether rows have weights: those of a column, or those of their age."""
        return self.columns.weight is not None or self.age_weight is not None

    @property
    def features(self) -> dict[str, FeatureFiles]:
        """The files of features by side, for the sides that have one."""
        sides = {"left": self.left_features, "right": self.right_features}
        return {side: files for side, files in sides.items() if files is not None}

    @property
    def _is_weighted_by_time(self) -> bool:
        return self.age_weight is not None and self.age_weight.by == "time"


class CopiedObjects(Section):
    """Where the copies of objects are, and how their stores are reached."""

    folder: Text
    storage: StorageSettings = StorageSettings()


class IngestSettings(DataSettings):
    """Section `data`, with what other parts of the pipeline file say about it.

    `score_min` and `score_max` are those that the schema allows. `unordered` is whether (a, b) and (b, a) are the same
    pair, because both sides share one table. `copied` is present if a path is the URL of objects.
    """

    unordered: StrictBool = False
    score_min: Number | None = None
    score_max: Number | None = None
    copied: CopiedObjects | None = None
