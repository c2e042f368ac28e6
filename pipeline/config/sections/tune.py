"""Section `tune` of a pipeline file: which settings are searched, and in which ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, StrictInt, StrictStr, Tag

from pipeline.config import effects, faults
from sections import PositiveInt, Section

# Settings whose values the validation metric can compare, because they do not change its meaning.
TUNABLE = (
    "model.dimension", "model.bias", "model.regularization", "model.initial_scale", "model.normalize",
    "model.temperature", "train.learning_rate", "train.optimizer", "train.batch_size", "train.epochs",
    "train.als.copies", "train.als.ridge", "train.als.implicit", "train.als.frequency_exponent",
)  # fmt: skip

_LEARNING_RATES = {"adagrad": (0.02, 0.5), "adam": (0.001, 0.05), "sgd": (0.05, 5.0)}
_PENALTIES = {"regression": (0.001, 0.2), "ials": (0.0005, 0.1)}
_OTHER_PENALTIES = (1e-6, 0.01)
_DIMENSIONS = (16, 32, 64, 128)
_RIDGES = (0.5, 30)


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
    """The number of trials, the search algorithm, and the search space."""

    trials: PositiveInt = 20
    search: Literal["bayesian", "random"] = "bayesian"
    # KerasTuner uses 0 for a random seed.
    seed: Annotated[StrictInt, Field(gt=0, lt=2**32)] = 1
    parameters: Annotated[dict[StrictStr, Parameter] | None, Field(min_length=1)] = None

    def check(self, model: BaseModel, train: BaseModel) -> None:
        """Checks that every value to try is valid in the pipeline file.

        Args:
          model: section `model`.
          train: section `train`.

        Raises:
          ValueError: a value is not valid. The message has the key and the rule.
        """
        found = list(_faults(self.parameters or {}, {"model": model, "train": train}))
        if getattr(train, "early_stopping", None) is None:
            found.append("tune: needs train.early_stopping, whose held-out rows compare the trials")
        if found:
            raise ValueError(". ".join(found))

    def space(self, model: BaseModel, train: BaseModel) -> dict[str, dict[str, Any]]:
        """Returns the search space by dotted key, for `trainer.tuning`. Without parameters, returns default ranges."""
        parameters = self.parameters or default_parameters({"model": model, "train": train})
        return {
            key: parameter.model_dump() if isinstance(parameter, Range) else {"choices": list(parameter)}
            for key, parameter in parameters.items()
        }


def default_parameters(sections: Mapping[str, BaseModel]) -> dict[str, Range | tuple[Any, ...]]:
    """Returns the default search space: the main settings of the objective and the optimizer."""
    model, train = sections["model"].model_dump(), sections["train"].model_dump()
    # Least squares has no learning rate. `_unusable` removes it.
    rates = _LEARNING_RATES.get(train["optimizer"], (0.1, 1.0))
    penalties = _PENALTIES.get(model["objective"], _OTHER_PENALTIES)
    parameters: dict[str, Range | tuple[Any, ...]] = {
        "model.dimension": _DIMENSIONS,
        "model.regularization": Range(min=penalties[0], max=penalties[1]),
        "train.learning_rate": Range(min=rates[0], max=rates[1]),
        "train.als.ridge": Range(min=_RIDGES[0], max=_RIDGES[1]),
    }
    return {key: parameter for key, parameter in parameters.items() if _unusable(key, sections) is None}


def _faults(parameters: Mapping[str, Range | tuple[Any, ...]], sections: Mapping[str, BaseModel]) -> Iterator[str]:
    for key, parameter in parameters.items():
        path = f"tune.parameters.{key}"
        unusable = _unusable(key, sections)
        if unusable:
            yield f"{path}: {unusable}"
            continue
        if isinstance(parameter, Range) and not _is_number(key, sections):
            yield f"{path}: takes a list of choices, not a range"
            continue
        values = (parameter.min, parameter.max) if isinstance(parameter, Range) else parameter
        if key == "train.optimizer" and "als" in values:
            yield f"{path}: als has its own settings, so it cannot be one of several choices"
        if len({(type(value), value) for value in values}) < len(values):
            yield f"{path}: duplicate choice"
        yield from (f"{path}: {fault}" for value in values for fault in _broken_rules(key, value, sections))


def _unusable(key: str, sections: Mapping[str, BaseModel]) -> str | None:
    """Returns why `key` cannot be searched, or None if it can."""
    if key not in TUNABLE or not _has(key, sections):
        return f"cannot be tuned. Choose from {', '.join(TUNABLE)}"
    objective = getattr(sections["model"], "objective", None)
    if objective == "softmax" and key == "train.batch_size":
        return "with model.objective softmax the metric depends on it, so trials cannot be compared"
    if key in ("model.normalize", "train.optimizer") and getattr(sections["train"], "optimizer", None) == "als":
        return "cannot change with train.optimizer als"
    return effects.why_without_effect(key, sections)


def _has(key: str, sections: Mapping[str, BaseModel]) -> bool:
    given, name = effects.owner_of(key, sections)
    return name in type(given).model_fields


def _is_number(key: str, sections: Mapping[str, BaseModel]) -> bool:
    """Returns whether `key` accepts a number."""
    return any(not list(_broken_rules(key, number, sections)) for number in (1, 0.5))


def _broken_rules(key: str, value: Any, sections: Mapping[str, BaseModel]) -> Iterator[str]:
    """Yields the rules of the pipeline file that `value` at `key` breaks."""
    given, name = effects.owner_of(key, sections)
    try:
        type(given).model_validate({**given.model_dump(), name: value})
    except pydantic.ValidationError as error:
        yield f"{faults.rule(error.errors()[0])} (got {value!r})"
