"""Records what arrived: the files, bytes and rows that were read, what was left out, and what was recognized."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter

from components.pair_example_gen.source import Skipped

ARRIVAL_FILE = "arrival.json"
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Arrival:
    """What arrived.

    Attributes:
      files: number of files that were read.
      bytes: their size in bytes, as they are on disk.
      rows: number of rows, with the quarantined ones.
      skipped: what matched `data.path` but was left out.
      recognized: what was recognized in the files rather than configured, with the number of files.
    """

    files: int
    bytes: int
    rows: int
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    recognized: dict[str, int] = dataclasses.field(default_factory=dict)

    def describe(self) -> list[str]:
        """Returns short phrases for people: one for the files, and one for each thing that is out of the ordinary."""
        shown = [f"{self.files:,} file{'s' if self.files != 1 else ''}, {_size(self.bytes)}"]
        for reason, count in Counter(skip.reason for skip in self.skipped).items():
            names = [os.path.basename(skip.path) for skip in self.skipped if skip.reason == reason]
            more = ", ..." if count > _SHOWN else ""
            shown.append(f"skipped {count:,} {reason} ({', '.join(names[:_SHOWN])}{more})")
        for what, count in self.recognized.items():
            shown.append(what if count == self.files else f"{what} (in {count:,} files)")
        return shown


def write(arrival: Arrival, examples_uri: str) -> None:
    """Writes `arrival.json` next to the splits of an examples artifact."""
    with open(os.path.join(examples_uri, ARRIVAL_FILE), "w", encoding="utf-8") as out:
        json.dump(dataclasses.asdict(arrival), out, indent=1)


def read(examples_uri: str) -> Arrival | None:
    """Reads the file that `write` wrote. Returns None for older artifacts without one."""
    path = os.path.join(examples_uri, ARRIVAL_FILE)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as source:
        content = json.load(source)
    return Arrival(**{**content, "skipped": [Skipped(**skip) for skip in content["skipped"]]})


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
