"""Collects the outputs of other nodes, and writes the card."""

from __future__ import annotations

import glob
import json
import os
from typing import Any

from tfx import types
from tfx.components.example_gen.utils import SPAN_PROPERTY_NAME

from compat.distributions import version
from components.evaluator.evaluation import read_evaluation
from components.execution import ExecutionArguments, ExecutorBase
from components.model_card.card import CARD_FILE, Facts, render
from components.model_card.settings import CardSettings
from components.pair_example_gen import inputs
from components.pair_example_gen.executor import QUARANTINED_PROPERTY, ROWS_PROPERTY
from components.pair_statistics.executor import read_split
from trainer.data.examples import SPLITS
from trainer.epochs import HISTORY_FILE
from trainer.index.facts import read_index
from trainer.search.choice import read_choice
from trainer.training.warm_start import WARM_START_FILE

_PACKAGES = ("kindred", "tensorflow", "keras", "tensorflow-transform", "tfx")


class Executor(ExecutorBase):
    """Executor of ModelCard. See there for inputs and outputs."""

    def execute(self, execution: ExecutionArguments) -> None:
        """Writes `model_card.md`."""
        examples, model_run = execution.input("examples"), execution.input("model_run").uri
        choice = read_choice(model_run)
        found = _tuned(execution.optional_input("hyperparameters")) | (choice.values if choice else {})
        settings = execution.settings(CardSettings).with_values(found)
        train = read_split(execution.input("statistics").uri, "train")
        facts = Facts(
            settings=settings,
            rows={name: examples.get_int_custom_property(ROWS_PROPERTY.format(name)) for name in SPLITS},
            quarantined=execution.input("quarantine").get_int_custom_property(QUARANTINED_PROPERTY),
            entities={"left": train.left.num_rows, "right": train.right.num_rows},
            # The driver stores the span as a custom property. The property of that name stays 0.
            span=int(examples.get_custom_property(SPAN_PROPERTY_NAME)) if "{" in settings.data["path"] else None,
            files=[(file.path, file.digest) for file in inputs.read(examples.uri)],
            choice=choice,
            index=read_index(model_run),
            history=_read(os.path.join(model_run, HISTORY_FILE)) or {},
            warm_start=_read(os.path.join(model_run, WARM_START_FILE)),
            evaluation=read_evaluation(execution.input("evaluation").uri),
            versions={name: version(name) for name in _PACKAGES},
        )
        with open(os.path.join(execution.output("card").uri, CARD_FILE), "w", encoding="utf-8") as out:
            out.write(render(facts))


def _read(path: str) -> dict[str, Any] | None:
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as source:
        content: dict[str, Any] = json.load(source)
    return content


def _tuned(hyperparameters: types.Artifact | None) -> dict[str, Any]:
    """Returns the best settings of the Tuner."""
    if hyperparameters is None:
        return {}
    (path,) = glob.glob(os.path.join(glob.escape(hyperparameters.uri), "*.txt"))
    return (_read(path) or {}).get("values", {})
