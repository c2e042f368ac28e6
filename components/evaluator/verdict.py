"""The verdict of the Evaluator: figures, rule results, and the blessing.

This module does not import TensorFlow, so that interactive commands start quickly.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from components.evaluator.figures import Figure, dump, from_tree, to_tree
from components.evaluator.rules import RuleResult

VERDICT_FILE = "evaluation.json"
WORST_FILE = "worst_pairs.parquet"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All results on the eval split. `facts` describe slices, labels and models.

    The model is blessed if every rule holds.
    """

    figures: list[Figure]
    rules: list[RuleResult]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def blessed(self) -> bool:
        """Whether every rule holds. Without rules, the model is not blessed."""
        return bool(self.rules) and all(rule.ok for rule in self.rules)


def write_verdict(verdict: Verdict, evaluation: str) -> None:
    """Writes `evaluation.json` into the directory `evaluation`."""
    tree = {
        "blessed": verdict.blessed,
        "rules": [dataclasses.asdict(rule) for rule in verdict.rules],
        "figures": to_tree(verdict.figures),
        **verdict.facts,
    }
    with open(os.path.join(evaluation, VERDICT_FILE), "w", encoding="utf-8") as out:
        out.write(dump(tree))


def read_verdict(evaluation: str) -> Verdict:
    """Reads the output of `write_verdict`."""
    with open(os.path.join(evaluation, VERDICT_FILE), encoding="utf-8") as source:
        tree = json.loads(source.read())
    rules = [
        RuleResult(**(rule | {"interval": tuple(rule["interval"]), "difference": tuple(rule["difference"])}))
        for rule in tree["rules"]
    ]
    facts = {key: value for key, value in tree.items() if key not in ("blessed", "rules", "figures")}
    return Verdict(from_tree(tree["figures"]), rules, facts)
