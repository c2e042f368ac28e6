"""What a section `tune` tries: families of settings that are valid for the pipeline file."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic
from pydantic import BaseModel

from components.pair_example_gen.settings import ColumnSettings
from pipeline.config import effects, faults, rules
from pipeline.config.sections.tune import TUNABLE, Range, Tune
from trainer.search.space import Family, TuneSettings
from trainer.settings import (
    LIGHTGCN,
    OF_LABELS,
    SOLVED_BY,
    EncodeSettings,
    ModelSettings,
    ScoreSettings,
    TrainSettings,
    with_values,
)

_LEARNING_RATES = {"adagrad": (0.02, 0.5), "adam": (0.001, 0.05), "sgd": (0.05, 5.0)}
_PENALTIES = {"regression": (0.001, 0.2), "ials": (0.0005, 0.1), "blend": (0.0005, 0.1)}
_OTHER_PENALTIES = (1e-6, 0.01)
_DIMENSIONS = (16, 32, 64, 128)
_RIDGES = (0.5, 30)

_ADAM = {"train.optimizer": "adam", "train.batch_size": 2048, "model.initial_scale": 0.1}
_WIDTHS = {"model.dimension": {"choices": [64, 128, 256]}}


def _log(least: float, most: float) -> dict[str, Any]:
    return {"min": least, "max": most, "scale": "log"}


# First guesses of gradient descent, and what to vary. Those of positives are ranked, those of scores predict.
_POSITIVES = (
    Family(
        settings={
            **_ADAM, "model.objective": "softmax", "model.normalize": True, "model.bias": False,
            "model.regularization": 0.0,
        },
        first={"model.temperature": 0.1, "train.learning_rate": 0.005, "model.dimension": 64},
        parameters={"model.temperature": _log(0.05, 0.3), "train.learning_rate": _log(0.001, 0.02), **_WIDTHS},
    ),
    Family(
        settings={
            "model.objective": "lightgcn", "train.optimizer": "adam", "train.batch_size": 8192,
            "model.initial_scale": 0.1, "model.normalize": False, "model.bias": True,
        },
        first={**LIGHTGCN, "model.dimension": 64},
        parameters={"model.temperature": _log(0.07, 0.3), "train.learning_rate": _log(0.003, 0.03), **_WIDTHS},
    ),
    Family(
        settings={
            **_ADAM, "model.objective": "cosine", "model.normalize": False, "model.bias": True,
            "model.regularization": 0.0, "model.temperature": 1.0,
        },
        first={
            "model.margin": 0.6, "model.negative_weight": 250.0, "train.learning_rate": 0.005, "model.dimension": 64
        },
        parameters={
            "model.margin": {"min": 0.2, "max": 0.95, "scale": "linear"}, "model.negative_weight": _log(50.0, 500.0),
            "train.learning_rate": _log(0.001, 0.02), **_WIDTHS,
        },
    ),
    *(
        Family(
            settings={
                **_ADAM, "model.objective": objective, "model.normalize": False, "model.temperature": 1.0,
                "model.bias": True, "model.negatives.count": 4,
            },
            first={"model.regularization": 1e-4, "train.learning_rate": 0.01, "model.dimension": 64},
            parameters={
                "model.regularization": _log(1e-6, 0.01), "train.learning_rate": _log(0.001, 0.05), **_WIDTHS
            },
        )
        for objective in ("pairwise", "logistic")
    ),
)  # fmt: skip
_REGRESSION = Family(
    settings={
        "model.objective": "regression", "train.optimizer": "adagrad", "train.batch_size": 8192,
        "model.normalize": False, "model.bias": True, "model.temperature": 1.0,
    },
    first={"model.regularization": 0.02, "train.learning_rate": 0.1, "model.dimension": 64},
    parameters={
        "model.regularization": _log(0.001, 0.2), "train.learning_rate": _log(0.02, 0.5),
        "model.dimension": {"choices": [16, 64, 128]},
    },
)  # fmt: skip
_LOGISTIC = Family(
    settings={**_REGRESSION.settings, "model.objective": "logistic"},
    first={"model.regularization": 1e-3, "train.learning_rate": 0.1, "model.dimension": 64},
    parameters={**_REGRESSION.parameters, "model.regularization": _log(1e-6, 0.1)},
)
# What makes least squares valid in a file with other settings.
_LEAST_SQUARES: dict[str, Any] = {"train.optimizer": "als", "model.normalize": False, "model.temperature": 1.0}


@dataclasses.dataclass(frozen=True)
class TunedFile:
    """The parts of a pipeline file that decide what can be tried.

    Attributes:
      columns: section `data.columns`.
      score: section `score`.
      encode: section `encode`.
      model: section `model`.
      train: section `train`.
      metric: the metric that compares trials.
    """

    columns: ColumnSettings
    score: ScoreSettings
    encode: EncodeSettings
    model: ModelSettings
    train: TrainSettings
    metric: str

    def tuned(self, tune: Tune) -> TuneSettings:
        """Returns what to try.

        Raises:
          ValueError: a parameter cannot be tried. The message has the key and the rule.
        """
        given = {key: _as_json(parameter) for key, parameter in (tune.parameters or {}).items()}
        if given:
            found = list(self._faults(given))
            if found:
                raise ValueError(". ".join(found))
            families, least_squares = self._combinations(given), None
        else:
            families, least_squares = self._defaults()
        return TuneSettings(
            trials=tune.trials, search=tune.search, seed=tune.seed, least_squares=least_squares,
            families=tuple(families),
        )  # fmt: skip

    def _with(self, values: Mapping[str, Any]) -> TunedFile | None:
        """Returns the file with other values, or None if a rule forbids them."""
        tree = with_values({"model": self.model.model_dump(), "train": self.train.model_dump()}, values)
        try:
            changed = dataclasses.replace(
                self,
                model=ModelSettings.model_validate(tree["model"]),
                train=TrainSettings.model_validate(tree["train"]),
            )
            rules.what_solvers_can(changed.encode, changed.model, changed.train)
            rules.objective_of_labels(changed.columns, changed.score, changed.model, changed.train)
        except ValueError:
            return None
        return changed

    @property
    def _sections(self) -> dict[str, BaseModel]:
        return {"model": self.model, "train": self.train}

    def _effective(self, key: str) -> bool:
        return effects.why_without_effect(key, self._with_data) is None

    def _defaults(self) -> tuple[list[Family], dict[str, Any] | None]:
        """Returns the families without parameters in the file, and what makes least squares possible."""
        scored = self.columns.score is not None
        mine = Family(parameters=self._default_parameters())
        searched = self.train.search.active
        families = [mine] if mine.parameters and not searched else []
        if self.train.warm_start:
            # A warm start keeps the form of the base model.
            return families, None
        guesses: tuple[Family, ...] = _POSITIVES
        if scored:
            guesses = (_REGRESSION,) if self.metric != "auc" else (_REGRESSION, _LOGISTIC)
        families += [family for family in guesses if self._with({**family.settings, **(family.first or {})})]
        squares = {**_LEAST_SQUARES, "model.objective": "regression"} if scored else _LEAST_SQUARES
        possible = self._with({**squares, "model.objective": "regression" if scored else "ials"})
        return families, squares if possible else None

    def _default_parameters(self) -> dict[str, dict[str, Any]]:
        """Returns ranges of the main settings of the objective and the optimizer of the file."""
        rates = _LEARNING_RATES.get(self.train.optimizer, (0.1, 1.0))
        parameters: dict[str, dict[str, Any]] = {
            "model.dimension": {"choices": list(_DIMENSIONS)},
            "model.regularization": _log(*_PENALTIES.get(self.model.objective, _OTHER_PENALTIES)),
            "train.learning_rate": _log(*rates),
            "train.als.ridge": _log(*_RIDGES),
        }
        if self.train.warm_start:
            del parameters["model.dimension"]
        return {key: parameter for key, parameter in parameters.items() if self._effective(key)}

    def _combinations(self, given: Mapping[str, dict[str, Any]]) -> list[Family]:
        """Returns a family for each valid pair of an objective and an optimizer, with the parameters it uses."""
        objectives = given.get("model.objective", {}).get("choices", [self.model.objective])
        optimizers = given.get("train.optimizer", {}).get("choices")
        families = []
        for objective in objectives:
            for optimizer in optimizers or [self._optimizer(objective)]:
                settings = {"model.objective": objective} if "model.objective" in given else {}
                if optimizers or optimizer != self.train.optimizer:
                    settings["train.optimizer"] = optimizer
                if objective == "lightgcn" and objective != self.model.objective:
                    settings = {**LIGHTGCN, **settings}
                changed = self._with(settings)
                if changed is None:
                    continue
                own = {key: value for key, value in given.items() if key not in _NAMES and changed._effective(key)}
                families.append(Family(settings=settings, parameters=own))
        return families

    def _optimizer(self, objective: str) -> str:
        if objective in SOLVED_BY:
            return SOLVED_BY[objective]
        solved = self.train.optimizer == "als" and (objective not in OF_LABELS or self.columns.score is None)
        return "adagrad" if solved else self.train.optimizer

    def _faults(self, given: Mapping[str, dict[str, Any]]) -> Iterator[str]:
        valid = True
        for key, parameter in given.items():
            for fault in self._faults_of(key, parameter):
                valid = False
                yield f"tune.parameters.{key}: {fault}"
        if not valid:
            return
        families = self._combinations(given)
        names = given.get("model.objective", {}).get("choices", ()), given.get("train.optimizer", {}).get("choices", ())
        for key, value in itertools.chain(
            (("model.objective", name) for name in names[0]), (("train.optimizer", name) for name in names[1])
        ):
            here = {"model.objective": self.model.objective, "train.optimizer": self.train.optimizer}
            if not any((here | family.settings)[key] == value for family in families):
                yield f"tune.parameters.{key}: {value} cannot be tried with the other settings of the file"
        for key in given.keys() - _NAMES:
            if families and not any(key in family.parameters for family in families):
                yield f"tune.parameters.{key}: {effects.why_without_effect(key, self._with_data)}"

    @property
    def _with_data(self) -> dict[str, BaseModel]:
        return {**self._sections, "data": _Data(columns=self.columns)}

    def _faults_of(self, key: str, parameter: Mapping[str, Any]) -> Iterator[str]:
        owner, name = effects.owner_of(key, self._sections) if key in TUNABLE else (None, "")
        if owner is None or name not in type(owner).model_fields:
            yield f"cannot be tuned. Choose from {', '.join(TUNABLE)}"
            return
        choices = parameter.get("choices")
        if choices is None and not any(not list(_broken_rules(owner, name, number)) for number in (1, 0.5)):
            yield "takes a list of choices, not a range"
            return
        values = [parameter["min"], parameter["max"]] if choices is None else choices
        if len({(type(value), value) for value in values}) < len(values):
            yield "duplicate choice"
        for value in values:
            yield from _broken_rules(owner, name, value)


class _Data(BaseModel):
    columns: ColumnSettings


_NAMES = {"model.objective", "train.optimizer"}


def _as_json(parameter: Range | tuple[Any, ...]) -> dict[str, Any]:
    return parameter.model_dump() if isinstance(parameter, Range) else {"choices": list(parameter)}


def _broken_rules(owner: BaseModel, name: str, value: Any) -> Iterator[str]:
    """Yields the rules of the pipeline file that `value` breaks."""
    try:
        type(owner).model_validate({**owner.model_dump(), name: value})
    except pydantic.ValidationError as error:
        yield f"{faults.rule(error.errors()[0])} (got {value!r})"
