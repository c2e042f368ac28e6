"""Section `batch` of a pipeline file: which lists a run writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sections import PositiveInt, Section

ListName = Literal["right", "left", "neighbors_right", "neighbors_left"]


def _distinct(names: tuple[ListName, ...]) -> tuple[ListName, ...]:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ValueError(f"names each list once (got {repeated} twice)")
    return names


class BatchSettings(Section):
    """The lists that a run writes after it has published a model.

    Attributes:
      lists: `right` has the best right entities for each left entity, `left` the reverse. `neighbors_right` and
        `neighbors_left` have the nearest entities of the same side.
      k: the length of each list.
      exclude_seen: the pairs that `right` and `left` leave out: all pairs of the data, those of train, or none.
      format: the format of the files.
    """

    lists: Annotated[tuple[ListName, ...], Field(min_length=1), AfterValidator(_distinct)] = ("right",)
    k: PositiveInt = 10
    exclude_seen: Literal["all", "train", "none"] = "all"
    format: Literal["parquet", "csv", "jsonl"] = "parquet"
