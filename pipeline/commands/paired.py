"""Paired differences of two runs that evaluated the same rows. Imports libraries only if there is something to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pipeline.records.run_folder import RunFolder

METHOD = (
    "95 % intervals of the paired differences on the same held-out rows, by the influence of each row. All rows of a "
    "left entity are one observation"
)


@dataclasses.dataclass(frozen=True)
class Paired:
    """The differences, second run minus first.

    Attributes:
      intervals: low and high by metric. Empty if there are none.
      problem: why there are none, as the end of a sentence.
    """

    intervals: dict[str, tuple[float, float]]
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-compatible tree."""
        return {"intervals": self.intervals, **({"problem": self.problem} if self.problem else {"method": METHOD})}


def compare_models(first: RunFolder, second: RunFolder, metrics: Sequence[str]) -> Paired:
    """Returns the intervals of the differences of `metrics`, if both runs evaluated the same rows."""
    for folder in (first, second):
        if not folder.root.metadata.is_file():
            return Paired({}, f"there is no ML Metadata at {folder.root.metadata}")
    from compat.tensorflow import silenced_stderr

    with silenced_stderr():
        from pipeline.commands import model_differences

        return model_differences.of_runs(first, second, metrics)
