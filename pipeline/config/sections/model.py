"""Section `model`: the shape of the model and what it minimises."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field, StrictBool

from pipeline.config.sections.base import Number, PositiveInt, Section


class Negatives(Section):
    """Which pairs stand for negatives where the data hold positives only."""

    count: PositiveInt = 4
    sampling: Literal["uniform", "popularity"] = "uniform"


class Model(Section):
    """The shape of the model and what it minimises."""

    dimension: PositiveInt = 64
    bias: StrictBool = True
    objective: Literal["regression", "logistic", "softmax", "pairwise", "ials"] = "regression"
    regularization: Annotated[Number, Field(ge=0)] = 0.02
    initial_scale: Annotated[Number, Field(gt=0)] = 0.1
    normalize: StrictBool = False
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    negatives: Negatives = Negatives()
    unobserved_weight: Annotated[Number, Field(gt=0)] = 0.1

    @pydantic.model_validator(mode="after")
    def _temperature_of_logits(self) -> Model:
        if self.temperature != 1 and self.objective not in ("logistic", "softmax", "pairwise"):
            raise ValueError(f"temperature goes with logistic, softmax and pairwise, not with {self.objective}")
        return self
