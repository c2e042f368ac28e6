"""What training minimises, and what it reports while it does."""

from __future__ import annotations

from typing import Any

import keras

from trainer.settings import ModelSettings


def compile_arguments(settings: ModelSettings) -> dict[str, Any]:
    """`loss` and `metrics` for `keras.Model.compile`.

    regression: mean over the batch of (score - label)^2, the squared error of matrix factorisation (Koren, Bell &
    Volinsky 2009, equation 2).

    Raises:
      ValueError: the objective is unknown.
    """
    if settings.objective == "regression":
        return {
            "loss": keras.losses.MeanSquaredError(),
            "metrics": [keras.metrics.RootMeanSquaredError(name="rmse")],
        }
    raise ValueError(f"unknown objective {settings.objective!r}")
