"""Which versions of a model are to be served, by the policies of TensorFlow Serving."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Literal

# What TensorFlow Serving reads as a version: a number, leading zeros and all; not the digits of other scripts.
_VERSION = re.compile(r"\+?[0-9]{1,19}")
_LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Policy:
    """`latest`: the `count` highest numbers; `all`; `specific`: those of `versions`."""

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def choose(self, found: Iterable[int]) -> set[int]:
        """The versions to serve among those `found`."""
        if self.kind == "all":
            return set(found)
        if self.kind == "specific":
            return set(found) & self.versions
        return set(sorted(found)[-max(self.count, 1) :])


def find_versions(children: Iterable[str]) -> Mapping[int, str]:
    """The entries of a model's base path that are versions: names by number. Others are passed over."""
    found: dict[int, str] = {}
    for child in sorted(children):
        name = child.split("/")[0]
        if _VERSION.fullmatch(name) and int(name) <= _LARGEST:
            found[int(name)] = name
    return found
