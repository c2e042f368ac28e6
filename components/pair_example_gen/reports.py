"""What became of each piece of work. Reports travel as files: Beam returns no values, and wraps exceptions."""

from __future__ import annotations

import collections
import dataclasses
import json
import os

import tensorflow as tf

from components.pair_example_gen import files


@dataclasses.dataclass
class Report:
    """What became of a chunk or of a part; of a file as a whole, which columns it has or why it cannot be read."""

    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)
    fault: str | None = None
    file: str | None = None
    columns: list[str] | None = None
    numbers_as_time: str | None = None  # a file in which there are some
    dates_as_time: str | None = None
    repeated_pairs: int = 0
    repeated: list[str] = dataclasses.field(default_factory=list)

    def write(self, directory: str, name: str) -> None:
        """Writes the report, over an earlier one of the same work."""
        path = os.path.join(directory, f"{name}.json")
        with files.whole(path) as staged, tf.io.gfile.GFile(staged, "w") as out:
            json.dump(dataclasses.asdict(self), out)


@dataclasses.dataclass(frozen=True)
class Totals:
    """Reports added up."""

    rows: collections.Counter[str]
    reasons: collections.Counter[str]

    @classmethod
    def of(cls, reports: list[Report]) -> Totals:
        """Adds up."""
        rows: collections.Counter[str] = collections.Counter()
        reasons: collections.Counter[str] = collections.Counter()
        for report in reports:
            rows.update(report.rows)
            reasons.update(report.reasons)
        return cls(rows, reasons)

    @property
    def good(self) -> int:
        """Rows that keep every rule."""
        return self.rows.total()

    @property
    def bad(self) -> int:
        """Rows in the quarantine."""
        return self.reasons.total()


def read_reports(directory: str) -> list[Report]:
    """The reports in `directory`, in the order of their names."""
    found = []
    for path in sorted(tf.io.gfile.glob(os.path.join(directory, "*.json"))):
        with tf.io.gfile.GFile(path) as source:
            found.append(Report(**json.load(source)))
    return found
