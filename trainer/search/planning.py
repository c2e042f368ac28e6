"""Follows the plan for the kind of pairs."""

from __future__ import annotations

from trainer.search.plans import Plan
from trainer.search.plans_of_labels import ratings
from trainer.search.plans_of_positives import positives
from trainer.search.space import LABEL_METRICS
from trainer.search.trials import Trials


def follow(trials: Trials, plan: Plan) -> None:
    """Tries the plan for the kind of pairs."""
    (ratings if trials.metric in LABEL_METRICS else positives)(trials, plan)
