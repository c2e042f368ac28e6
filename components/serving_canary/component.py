"""ServingCanary: serves a model before it is published."""

from __future__ import annotations

from tfx.types import standard_artifacts

from components.declaration import Component, Input
from components.serving_canary.executor import Executor
from components.serving_canary.settings import CanarySettings


class ServingCanary(Component, executor=Executor):
    """Serves a blessed candidate, sends requests to it, and refuses it if a reply is wrong or slow.

    It replaces TFX's InfraValidator, which needs Docker. The output is the same, and the Pusher reads it the same way.

    Args:
      model: `Model`, the candidate.
      examples: `Examples`. The requests hold pairs of the split `eval`.
      model_blessing: `ModelBlessing` of the Evaluator. A model that it does not bless is not served.
      settings: number of pairs and bounds.

    Outputs:
      blessing: `InfraBlessing` with `canary.json`.
    """

    OUTPUTS = {"blessing": standard_artifacts.InfraBlessing}

    model: Input[standard_artifacts.Model]
    examples: Input[standard_artifacts.Examples]
    model_blessing: Input[standard_artifacts.ModelBlessing] | None = None
    settings: CanarySettings = CanarySettings()
