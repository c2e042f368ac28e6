"""Selects the versions of a model to serve, with the policies of TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Literal

# TensorFlow Serving accepts numbers with leading zeros as versions, but only ASCII digits.
_VERSION = re.compile(r"\+?[0-9]{1,19}")
_LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Policy:
    """A version policy: `all`, the `count` highest numbers (`latest`), or the numbers `versions` (`specific`)."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def choose(self, numbers: Iterable[int]) -> set[int]:
        """Returns the versions to serve among `numbers`."""
        if self.kind == "all":
            return set(numbers)
        if self.kind == "specific":
            return set(numbers) & self.versions
        return set(sorted(numbers)[-max(self.count, 1) :])


def find_versions(children: Iterable[str]) -> Mapping[int, str]:
    """Returns the version directories among the entries of a base path: names by number."""
    names: dict[int, str] = {}
    for child in sorted(children):
        name = child.split("/")[0]
        if _VERSION.fullmatch(name) and int(name) <= _LARGEST:
            names[int(name)] = name
    return names
