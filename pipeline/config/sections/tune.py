"""Section `tune` of a pipeline file: the budget, and the settings to try."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StrictInt, StrictStr, Tag

from sections import PositiveInt, Section
from trainer.search.space import Method

# All trials are measured on the same held-out rows, so that everything about the model and its training can differ.
TUNABLE = (
    "model.objective", "model.dimension", "model.bias", "model.regularization", "model.initial_scale",
    "model.normalize", "model.temperature", "model.margin", "model.negative_weight", "model.negatives.count",
    "model.unobserved_weight", "model.popularity_exponent", "train.learning_rate", "train.optimizer",
    "train.batch_size", "train.epochs", "train.als.copies", "train.als.ridge", "train.als.implicit",
    "train.als.frequency_exponent",
)  # fmt: skip


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("must be a number")
    return value


def _kind(value: Any) -> str | None:
    if isinstance(value, dict | Range):
        return "range"
    return "choices" if isinstance(value, list | tuple) else None


class Range(Section):
    """All numbers from `min` to `max`. With scale `log`, 1 to 10 is as likely as 10 to 100."""

    min: Annotated[Any, BeforeValidator(_number)]
    max: Annotated[Any, BeforeValidator(_number)]
    scale: Literal["log", "linear"] = "log"

    @pydantic.model_validator(mode="after")
    def _has_room(self) -> Range:
        if self.min >= self.max:
            raise ValueError(f"min must be less than max (got {self.min} and {self.max})")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"min must be greater than 0, or scale linear (got {self.min})")
        return self


def _some(choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if not choices:
        raise ValueError("at least one choice is needed")
    return choices


Choices = Annotated[tuple[Any, ...], AfterValidator(_some)]
Parameter = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(
        _kind, custom_error_type="parameter", custom_error_message="must be a list of choices, or {min, max, scale}"
    ),
]


class Tune(Section):
    """The number of trials, how values are proposed, and the parameters to try. None tries what `candidates` lists."""

    trials: PositiveInt = 20
    search: Method = "bayesian"
    # Positive, as in earlier versions.
    seed: Annotated[StrictInt, Field(gt=0, lt=2**32)] = 1
    parameters: Annotated[dict[StrictStr, Parameter] | None, Field(min_length=1)] = None
