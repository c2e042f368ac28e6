"""Collects the outputs of other nodes, and writes the card."""

from __future__ import annotations

import glob
import importlib.metadata
import json
import os
from typing import Any

from tfx import types
from tfx.components.example_gen.utils import SPAN_PROPERTY_NAME
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.evaluator.verdict import read_verdict
from components.model_card.card import CARD_FILE, Facts, render
from components.model_card.settings import CardSettings
from components.pair_example_gen import inputs
from components.pair_example_gen.executor import QUARANTINED_PROPERTY, ROWS_PROPERTY
from components.pair_statistics import distribution
from trainer.data.examples import SPLITS
from trainer.run_fn import HISTORY_FILE
from trainer.training.warm_start import WARM_START_FILE

_PACKAGES = ("kindred", "tensorflow", "keras", "tensorflow-transform", "tfx")


class Executor(base_executor.BaseExecutor):
    """Executor of ModelCard. See there for inputs and outputs."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `model_card.md`."""
        uris = {key: artifact_utils.get_single_uri(artifacts) for key, artifacts in input_dict.items() if artifacts}
        settings = CardSettings.model_validate_json(exec_properties["settings"])
        settings = settings.with_values(_tuned(uris.get("hyperparameters")))
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        train = distribution.read(os.path.join(uris["statistics"], "distributions", "train"))
        facts = Facts(
            settings=settings,
            rows={name: examples.get_int_custom_property(ROWS_PROPERTY.format(name)) for name in SPLITS},
            quarantined=artifact_utils.get_single_instance(input_dict["quarantine"]).get_int_custom_property(
                QUARANTINED_PROPERTY
            ),
            entities={"left": train.left.num_rows, "right": train.right.num_rows},
            # The driver stores the span as a custom property. The property of that name stays 0.
            span=int(examples.get_custom_property(SPAN_PROPERTY_NAME)) if "{" in settings.data["path"] else None,
            files=[(file.path, file.digest) for file in inputs.read(examples.uri)],
            history=_read(os.path.join(uris["model_run"], HISTORY_FILE)) or {},
            warm_start=_read(os.path.join(uris["model_run"], WARM_START_FILE)),
            verdict=read_verdict(uris["evaluation"]),
            versions={name: importlib.metadata.version(name) for name in _PACKAGES},
        )
        card = os.path.join(artifact_utils.get_single_uri(output_dict["card"]), CARD_FILE)
        with open(card, "w", encoding="utf-8") as out:
            out.write(render(facts))


def _read(path: str) -> dict[str, Any] | None:
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as source:
        content: dict[str, Any] = json.load(source)
    return content


def _tuned(hyperparameters: str | None) -> dict[str, Any]:
    """Returns the best settings of the Tuner."""
    if hyperparameters is None:
        return {}
    (path,) = glob.glob(os.path.join(glob.escape(hyperparameters), "*.txt"))
    return (_read(path) or {}).get("values", {})
