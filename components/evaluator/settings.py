"""Settings of the Evaluator, as JSON between processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from components.evaluator.rules import Rule
from components.evaluator.slices import SLICES


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """The rules, whether they are the defaults, whether pairs have scores, and the slices."""

    rules: tuple[Rule, ...]
    are_defaults: bool = False
    scored: bool = True
    slices: tuple[str, ...] = SLICES

    def to_json(self) -> str:
        """Returns JSON for `from_json`."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EvaluationSettings:
        """Reads the output of `to_json`."""
        tree = json.loads(text)
        return cls(**(tree | {"rules": tuple(Rule(**rule) for rule in tree["rules"]), "slices": tuple(tree["slices"])}))


def wanted(rules: Sequence[Rule]) -> dict[tuple[str, str], frozenset[str]]:
    """Returns, by (metric, slice), the other models of the rules. Each of them needs an interval."""
    others: dict[tuple[str, str], frozenset[str]] = {}
    for rule in rules:
        key = (rule.metric, rule.slice)
        others[key] = others.get(key, frozenset()) | ({rule.other} if rule.other else frozenset())
    return others
