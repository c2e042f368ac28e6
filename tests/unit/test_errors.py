"""The tree of errors."""

from __future__ import annotations

import re
from collections.abc import Iterator

import errors
from errors import KindredError


def _tree(kind: type[KindredError], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, kind.__name__
    for child in kind.__subclasses__():
        if child.__module__ == "errors":
            yield from _tree(child, depth + 1)


def test_documented_tree_matches_classes() -> None:
    drawn = re.findall(r"^([│├└─ ]*)([A-Z]\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    lines = [(len(lead) // 4, name) for lead, name in drawn if lead or name == "KindredError"]
    assert sorted(lines) == sorted(_tree(KindredError))


def test_exit_codes_are_those_of_the_contract() -> None:
    kinds = [getattr(errors, name) for _, name in _tree(KindredError)]
    assert {kind.exit_code for kind in kinds} == {1, 2, 3, 4}
    assert (errors.ConfigError.exit_code, errors.DataRefused.exit_code, errors.ModelRefused.exit_code) == (2, 3, 4)
