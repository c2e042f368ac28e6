"""Which settings are tried, and in which order, for each kind of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

# A search does not start trials with which its work would be more than so many times that of the final training.
TIMES = 3.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the pipeline file leaves open.

    Attributes:
      keys: the dotted keys to choose.
      file: the values of the file by section, for the keys that are fixed.
      others: further values of every trial, by dotted key.
      times: how many times the predicted work of the final training the search may take. The first trial of each kind
        is made in any case.
    """

    keys: Sequence[str]
    file: Mapping[str, Any]
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times: float = TIMES

    def values(self, key: str, choices: Sequence[Any]) -> Sequence[Any]:
        """Returns `choices` of a searched key, or the value of the file."""
        if key in self.keys:
            return choices
        section, *path = key.split(".")
        value = self.file[section]
        for name in path:
            value = value[name]
        return (value,)


def rounded(number: float) -> float:
    """Returns three significant digits."""
    return float(f"{number:.3g}")
