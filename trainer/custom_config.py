"""The `custom_config` of the Transform node and of the Trainer node."""

from __future__ import annotations

from typing import Any

from trainer.settings import RMSE, EncodeSettings, ModelSettings, ScoreSettings, TrainSettings


def transform_config(
    encode: EncodeSettings | None = None, score: ScoreSettings | None = None, weighted: bool = False
) -> dict[str, Any]:
    """Returns the `custom_config` of the Transform node.

    Args:
      encode: how ids become rows of a table. None: the defaults.
      score: how scores become labels. None: the defaults.
      weighted: whether rows have weights.
    """
    encode, score = encode or EncodeSettings(), score or ScoreSettings()
    return {"encode": encode.model_dump(), "score": score.model_dump(), "weighted": weighted}


def trainer_config(
    encode: EncodeSettings | None = None,
    model: ModelSettings | None = None,
    train: TrainSettings | None = None,
    metric: str = RMSE,
    hold_out: str = "random",
) -> dict[str, Any]:
    """Returns the `custom_config` of the Trainer node.

    Args:
      encode: that of the Transform node. None: the defaults.
      model: the shape, the objective and the regularization of the model. None: the defaults.
      train: how the model is fitted. None: the defaults.
      metric: the metric that chooses settings and epochs on held-out rows of train.
      hold_out: which rows these are, a `trainer.search.space.HoldOut`.
    """
    encode, model, train = encode or EncodeSettings(), model or ModelSettings(), train or TrainSettings()
    sections = {"encode": encode.model_dump(), "model": model.model_dump(), "train": train.model_dump()}
    return {**sections, "metric": metric, "hold_out": hold_out}
