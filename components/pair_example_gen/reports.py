"""Reports of the Beam workers. They travel as files, because Beam returns no values and wraps exceptions."""

from __future__ import annotations

import collections
import dataclasses
import json
import os

from components.pair_example_gen import files


@dataclasses.dataclass
class Report:
    """The result of a chunk or a part, or the columns of a file or the reason why it is unreadable.

    Attributes:
      rows: number of good rows of each split.
      shards: names of the shards with these rows.
      reasons: number of bad rows for each reason.
      weightless: number of rows of weight 0, by the split they would be in.
      fault: error message of an unreadable file.
      file: the input file.
      columns: columns of the file.
      recognized: what was recognized in the file rather than configured.
      numbers_as_time: a file with numbers in the time column.
      dates_as_time: a file with dates in the time column.
      newest: the newest time of the good rows.
      repeated_pairs: number of pairs with several rows.
      repeated: descriptions of some of these rows.
    """

    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    shards: list[str] = dataclasses.field(default_factory=list)
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)
    weightless: dict[str, int] = dataclasses.field(default_factory=dict)
    fault: str | None = None
    file: str | None = None
    columns: list[str] | None = None
    recognized: list[str] = dataclasses.field(default_factory=list)
    numbers_as_time: str | None = None
    dates_as_time: str | None = None
    newest: float | None = None
    repeated_pairs: int = 0
    repeated: list[str] = dataclasses.field(default_factory=list)

    def add_weightless(self, rows: dict[str, int]) -> None:
        """Adds rows of weight 0."""
        self.weightless = {split: self.weightless.get(split, 0) + count for split, count in rows.items()}

    def write(self, directory: str, name: str) -> None:
        """Writes the report. Replaces an earlier report of the same work."""
        path = os.path.join(directory, f"{name}.json")
        with files.writable(path) as out:
            out.write(json.dumps(dataclasses.asdict(self)).encode())


@dataclasses.dataclass(frozen=True)
class Totals:
    """The sums of several reports."""

    rows: collections.Counter[str]
    reasons: collections.Counter[str]
    weightless: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    newest: float | None = None

    @classmethod
    def of(cls, reports: list[Report]) -> Totals:
        """Adds up reports."""
        rows: collections.Counter[str] = collections.Counter()
        reasons: collections.Counter[str] = collections.Counter()
        weightless: collections.Counter[str] = collections.Counter()
        for report in reports:
            rows.update(report.rows)
            reasons.update(report.reasons)
            weightless.update(report.weightless)
        newest = max((report.newest for report in reports if report.newest is not None), default=None)
        return cls(rows, reasons, weightless, newest)

    @property
    def good(self) -> int:
        """Number of good rows."""
        return self.rows.total()

    @property
    def bad(self) -> int:
        """Number of quarantined rows."""
        return self.reasons.total()


def read_reports(directory: str) -> list[Report]:
    """Returns the reports in `directory`, sorted by file name."""
    return [Report(**json.loads(files.content(path))) for path in files.named(directory, ".json")]
