"""The evaluation of a model: figures, rule results, and the blessing.

This module does not import TensorFlow, so that interactive commands start quickly.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from components.evaluator.figures import Figure, dump, from_tree, to_tree
from components.evaluator.rules import RuleResult

EVALUATION_FILE = "evaluation.json"
WORST_FILE = "worst_pairs.parquet"
# Property of a blessing: id of the model that the next candidate is compared with.
BAR_PROPERTY = "bar_model_id"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All results on the eval split.

    Attributes:
      figures: measured values of the candidate and the other models.
      rules: result of each blessing rule.
      facts: JSON values that describe slices, labels and models.
    """

    figures: list[Figure]
    rules: list[RuleResult]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def blessed(self) -> bool:
        """Whether every rule holds. Without rules, the model is not blessed."""
        return bool(self.rules) and all(rule.ok for rule in self.rules)

    @property
    def sets_the_bar(self) -> bool:
        """Whether later models are compared with this one, instead of with the model that it was compared with.

        It is blessed, and better beyond doubt (`RuleResult.beats_last`) by every rule that compares with the last
        blessed model. Otherwise a lucky model would raise the bar, and a chain of models that are each a little worse
        would lower it.
        """
        return self.blessed and all(rule.beats_last is not False for rule in self.rules)


def write_evaluation(evaluation: Evaluation, directory: str) -> None:
    """Writes `evaluation.json` into `directory`."""
    tree = {
        "blessed": evaluation.blessed,
        "rules": [dataclasses.asdict(rule) for rule in evaluation.rules],
        "figures": to_tree(evaluation.figures),
        **evaluation.facts,
    }
    with open(os.path.join(directory, EVALUATION_FILE), "w", encoding="utf-8") as out:
        out.write(dump(tree))


def read_evaluation(directory: str) -> Evaluation:
    """Reads the output of `write_evaluation`."""
    with open(os.path.join(directory, EVALUATION_FILE), encoding="utf-8") as source:
        tree = json.loads(source.read())
    rules = [
        RuleResult(**(rule | {"interval": tuple(rule["interval"]), "difference": tuple(rule["difference"])}))
        for rule in tree["rules"]
    ]
    facts = {key: value for key, value in tree.items() if key not in ("blessed", "rules", "figures")}
    return Evaluation(from_tree(tree["figures"]), rules, facts)
