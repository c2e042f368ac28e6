"""The resolver strategy of the baseline model."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator import constants
from tfx.dsl.components.common import resolver

from components.evaluator.evaluation import BAR_PROPERTY
from components.pusher.withdrawals import withdrawn_models

CANDIDATE, MODEL, BLESSING = "candidate", "model", "model_blessing"


class LatestBlessedOtherModel(resolver.ResolverStrategy):
    """Resolves the model that set the bar when the latest model other than the candidate was blessed.

    That is the latest blessed model that was clearly better than the model before it, or the first one
    (`Evaluation.sets_the_bar`). Models of withdrawn versions do not count.

    When an unchanged pipeline runs again, TFX's own LatestBlessedModelStrategy resolves the candidate itself. The
    Evaluator would then execute again to compare the model with itself.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Resolves `model` and `model_blessing` for the given `candidate`, among all artifacts of the pipeline.

        Both are empty if no other model was ever blessed.
        """
        excluded = {artifact.id for artifact in input_dict[CANDIDATE]} | withdrawn_models(store)
        blessings = latest_blessings(input_dict[BLESSING])
        others = [model for model in input_dict[MODEL] if model.id in blessings.keys() - excluded]
        latest = max(others, key=lambda model: blessings[model.id].id, default=None)
        if latest:
            bar = blessings[latest.id].get_int_custom_property(BAR_PROPERTY)
            latest = next((model for model in others if model.id == bar), latest)
        return {
            CANDIDATE: input_dict[CANDIDATE],
            MODEL: [latest] if latest else [],
            BLESSING: [blessings[latest.id]] if latest else [],
        }


def latest_blessings(blessings: list[types.Artifact]) -> dict[int, types.Artifact]:
    """Returns the latest blessing of each blessed model, by model id."""
    return {
        blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY): blessing
        for blessing in sorted(blessings, key=lambda artifact: artifact.id)
        if blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
    }
