"""The resolver strategy behind the Resolver node."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common import resolver

CANDIDATE, MODEL, BLESSING = "candidate", "model", "model_blessing"


class LatestBlessedOtherModel(resolver.ResolverStrategy):
    """The latest blessed model other than the candidate.

    TFX's own LatestBlessedModelStrategy would resolve the candidate itself when an unchanged pipeline runs again: the
    Evaluator would then run anew, against a different baseline, to compare a model with itself.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Resolves `model` and `model_blessing` among all that the pipeline ever made, given `candidate`.

        Both are empty where no other model was ever blessed.
        """
        del store
        candidates = {artifact.id for artifact in input_dict[CANDIDATE]}
        blessings = latest_blessings(input_dict[BLESSING])
        others = [model for model in input_dict[MODEL] if model.id in blessings.keys() - candidates]
        latest = max(others, key=lambda model: blessings[model.id].id, default=None)
        return {
            CANDIDATE: input_dict[CANDIDATE],
            MODEL: [latest] if latest else [],
            BLESSING: [blessings[latest.id]] if latest else [],
        }


def latest_blessings(blessings: list[types.Artifact]) -> dict[int, types.Artifact]:
    """The latest blessing of each model that was ever blessed, by the model's id."""
    return {
        blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY): blessing
        for blessing in sorted(blessings, key=lambda artifact: artifact.id)
        if blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
    }
