"""The resolver strategy of the model for a warm start."""

from __future__ import annotations

import ml_metadata as mlmd
import pydantic
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.common import resolver

from components.latest_blessed.strategy import BLESSING, MODEL, latest_blessings
from components.pair_example_gen.settings import IngestSettings, SplitSettings

EXAMPLES = "examples"

# TFX records resolved artifacts as INTERNAL_OUTPUT events.
_INPUT, _OUTPUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT
_SETTINGS = "settings"

_SplitRule = tuple[SplitSettings, bool]  # and whether pairs are unordered


class LatestBlessedOfEarlierExamples(resolver.ResolverStrategy):
    """Resolves the latest blessed model of earlier examples with the same split rule.

    Earlier examples keep an unchanged run cached, because it resolves the same model as the run before. They also
    prevent evaluation on rows that the base model was trained on, with a split by time. The same split rule guarantees
    that a pair or left entity in today's eval split was not in the base model's train split.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Resolves `model` and `model_blessing` for the given `examples`, among all artifacts of the pipeline.

        Both are empty if there is no such model.
        """
        example_ids = {examples.id for examples in input_dict[EXAMPLES]}
        blessings = latest_blessings(input_dict[BLESSING])
        blessed = [model for model in input_dict[MODEL] if model.id in blessings]
        latest_first = sorted(blessed, key=lambda model: blessings[model.id].id, reverse=True)
        chosen = next((model for model in latest_first if _is_base(store, model.id, example_ids)), None)
        return {
            EXAMPLES: input_dict[EXAMPLES],
            MODEL: [chosen] if chosen else [],
            BLESSING: [blessings[chosen.id]] if chosen else [],
        }


def _is_base(store: mlmd.MetadataStore, model: int, given: set[int]) -> bool:
    """Returns whether all training examples of `model` are earlier than the `given` ones, with the same split rule."""
    learned_from = _inputs(store, _makers(store, {model}), EXAMPLES)
    rule = _split_rules(store, given)
    earlier = bool(learned_from) and max(learned_from) < min(given, default=0)
    return earlier and len(rule) == 1 and None not in rule and _split_rules(store, learned_from) == rule


def _split_rules(store: mlmd.MetadataStore, examples: set[int]) -> set[_SplitRule | None]:
    """Returns the split rule of each of `examples`, None where unknown."""
    executions = store.get_executions_by_id(_makers(store, examples))
    return {_split_rule(execution.custom_properties[_SETTINGS].string_value) for execution in executions}


def _split_rule(settings: str) -> _SplitRule | None:
    """Returns the split rule in the settings of PairExampleGen.

    None if another version of it wrote them, or if a column of the data decides, which other data may fill differently.
    """
    try:
        found = IngestSettings.model_validate_json(settings)
    except pydantic.ValidationError:
        return None
    return None if found.split.by == "column" else (found.split, found.unordered)


def _makers(store: mlmd.MetadataStore, artifacts: set[int]) -> list[int]:
    """Returns the ids of the executions that made `artifacts`, or served them from cache."""
    events = store.get_events_by_artifact_ids(list(artifacts))
    return sorted({event.execution_id for event in events if event.type == _OUTPUT})


def _inputs(store: mlmd.MetadataStore, executions: list[int], key: str) -> set[int]:
    """Returns the ids of the artifacts at input `key` of `executions`."""
    return {
        event.artifact_id
        for event in store.get_events_by_execution_ids(executions)
        if event.type == _INPUT and event.path.steps[0].key == key
    }
