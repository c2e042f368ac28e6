"""The sections of a pipeline file for preprocessing and training: `encode`, `score`, `model` and `train`."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from sections import LocalPath, NonNegativeInt, Number, PositiveInt, Section

# The metric that chooses settings and epochs if pairs have scores. Otherwise it is a ranking metric.
RMSE = "rmse"
MAE = "mae"
# For labels of two values, instead of RMSE.
LOG_LOSS = "log_loss"

# The optimizers of objectives over every pair of entities, seen or not. They have their own solvers.
SOLVED_BY = {"ials": "als", "spectral": "als", "blend": "als", "lightgcn": "adam"}
WHOLE_DATA = tuple(SOLVED_BY)
# The objectives of scored pairs.
OF_LABELS = ("regression", "logistic")
# The first guess of what `lightgcn` needs.
LIGHTGCN = {"model.temperature": 0.12, "train.optimizer": "adam", "train.learning_rate": 0.01}


def _word_or_switch(value: Any) -> Any:
    """Refuses 0 and 1, which equal false and true in Python."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError("must be 'auto', true or false")
    return value


# Whether a model gets approximate rankings. `auto` gives them to models with so many known entities of a side. With
# fewer, an exact ranking takes about as long as the rest of a request.
Approximate = Annotated[Literal["auto", True, False], BeforeValidator(_word_or_switch)]
APPROXIMATE_FROM = 100_000

# Default counts of negatives. One matrix product scores a batch with shared negatives, so many cost little.
_NEGATIVES, _COSINE_NEGATIVES = 4, 1000


class EncodeSettings(Section):
    """Section `encode`: how ids become rows of an embedding table.

    Attributes:
      min_count: ids with fewer pairs are not in the vocabulary.
      max_vocabulary: the maximum number of ids of each side, or None for no maximum.
      oov_buckets: the number of rows for out-of-vocabulary ids.
      oov_hashes: how many of these rows each out-of-vocabulary id uses, at most `oov_buckets`.
      shared: whether both sides use the same vocabulary and table.
    """

    min_count: PositiveInt = 1
    max_vocabulary: PositiveInt | None = None
    oov_buckets: PositiveInt = 1
    oov_hashes: PositiveInt = 1
    shared: StrictBool = False

    @pydantic.model_validator(mode="after")
    def _hashes_that_differ(self) -> EncodeSettings:
        if self.oov_hashes > self.oov_buckets:
            raise ValueError(
                f"oov_hashes: at most oov_buckets, the rows they choose from (got {self.oov_hashes} with "
                f"{self.oov_buckets}). Raise oov_buckets, ideally to about the number of out-of-vocabulary ids"
            )
        return self


class ScoreSettings(Section):
    """Section `score`: how raw scores become signed labels, (score - center) / scale."""

    center: Literal["mean", "midpoint", "none"] = "mean"
    scale: Literal["std", "none"] = "none"


class NegativeSettings(Section):
    """Section `model.negatives`: which pairs serve as negatives if the data has only positives.

    Attributes:
      count: the number of negatives, or None for the default of the objective.
      sampling: how they are drawn.
    """

    count: PositiveInt | None = None
    sampling: Literal["uniform", "popularity"] = "uniform"


class ModelSettings(Section):
    """Section `model`: the shape, the objective and the regularization of the model."""

    dimension: PositiveInt = 64
    bias: StrictBool = True
    objective: Literal[
        "regression", "logistic", "softmax", "pairwise", "cosine", "ials", "spectral", "blend", "lightgcn"
    ] = "regression"
    regularization: Annotated[Number, Field(ge=0)] = 0.02
    initial_scale: Annotated[Number, Field(gt=0)] = 0.1
    normalize: StrictBool = False
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    negatives: NegativeSettings = NegativeSettings()
    margin: Annotated[Number, Field(ge=-1, lt=1)] = 0.6
    negative_weight: Annotated[Number, Field(gt=0)] = 250.0
    unobserved_weight: Annotated[Number, Field(gt=0)] = 0.1
    popularity_exponent: Annotated[Number, Field(ge=0, le=1)] = 0.4

    @property
    def negative_count(self) -> int:
        """The number of negatives of a pair, or of a batch if its pairs share them."""
        return self.negatives.count or (_COSINE_NEGATIVES if self.objective == "cosine" else _NEGATIVES)

    @property
    def shares_negatives(self) -> bool:
        """Whether all pairs of a batch share the same negatives."""
        return self.objective in ("softmax", "cosine")

    @property
    def has_unit_vectors(self) -> bool:
        """Whether vectors are divided by their length."""
        return self.normalize or self.objective == "cosine"

    @property
    def log_odds(self) -> float:
        """The log odds of a positive label at a score of 1, or 0 if scores are no log odds."""
        return 1 / self.temperature if self.objective == "logistic" else 0.0

    @property
    def has_biases(self) -> bool:
        """Whether entities have biases.

        A cosine has none. With an objective over all pairs, seen or not, biases would also have to fit the unseen
        pairs.
        """
        return self.bias and self.objective not in ("cosine", *WHOLE_DATA)


class EarlyStoppingSettings(Section):
    """Section `train.early_stopping`: stops after `patience` epochs that are not better on held-out rows of train."""

    validation_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    patience: PositiveInt = 2
    min_delta: Annotated[Number, Field(ge=0)] = 0.0


class AlsSettings(Section):
    """Section `train.als`: options of alternating least squares.

    `copies`, `ridge` and `implicit` apply to scored pairs, `frequency_exponent` applies to positives.
    """

    copies: PositiveInt = 1
    ridge: Annotated[Number, Field(gt=0)] | None = None
    implicit: Annotated[Number, Field(gt=0)] | None = 2.0
    frequency_exponent: Annotated[Number, Field(ge=0, le=2)] = 1.0


# What `train.search` can choose, for pairs with scores and for positives.
SEARCHABLE = {
    True: (
        "model.objective", "train.optimizer", "model.dimension", "train.als.copies", "train.als.ridge",
        "train.als.implicit", "train.epochs",
    ),
    False: (
        "model.objective", "model.dimension", "model.regularization", "model.unobserved_weight",
        "model.popularity_exponent", "train.epochs",
    ),
}  # fmt: skip

# The settings that only one of the searched objectives uses.
KEYS_OF = {
    "spectral": ("model.popularity_exponent",),
    "ials": ("model.regularization", "model.unobserved_weight", "train.als.frequency_exponent"),
}


def _searchable(key: str) -> str:
    known = sorted({*SEARCHABLE[True], *SEARCHABLE[False]})
    if key not in known:
        raise ValueError(f"cannot be searched (got {key!r}). Choose from {', '.join(known)}")
    return key


class SearchSettings(Section):
    """Section `train.search`: settings that the Trainer chooses by itself on held-out rows of train.

    Attributes:
      budget: the maximum number of settings to try. 0 tries none and uses the settings of the file.
      settings: the dotted keys to choose. A pipeline file without this key searches what it does not set.
      renew: whether to search again although the data are like those of the last search.
    """

    budget: NonNegativeInt = 24
    settings: tuple[Annotated[StrictStr, AfterValidator(_searchable)], ...] = ()
    renew: StrictBool = False

    @property
    def active(self) -> bool:
        """Whether there is anything to try."""
        return self.budget > 0 and bool(self.settings)


class TrainSettings(Section):
    """Section `train`: how the model is fitted."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 8192
    optimizer: Literal["adagrad", "adam", "sgd", "als"] = "adagrad"
    learning_rate: Annotated[Number, Field(gt=0)] = 0.1
    early_stopping: EarlyStoppingSettings | None = EarlyStoppingSettings()
    # The generators of NumPy and Keras take seeds of 32 bits.
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 1
    data_memory_mb: PositiveInt = 2048
    devices: Literal["one", "all", "workers"] = "one"
    als: AlsSettings = AlsSettings()
    warm_start: StrictBool = False
    module_file: LocalPath | None = None
    search: SearchSettings = SearchSettings()


def has_solver(objective: str, optimizer: str) -> bool:
    """Whether a solver with its own loop trains, instead of gradient descent by Keras."""
    return objective in SOLVED_BY or optimizer == "als"


def transform_settings(custom_config: Mapping[str, Any]) -> tuple[EncodeSettings, ScoreSettings]:
    """Parses the settings of preprocessing.

    Args:
      custom_config: the `custom_config` of the Transform node, with keys `encode` and `score`.
    """
    return EncodeSettings.model_validate(custom_config["encode"]), ScoreSettings.model_validate(custom_config["score"])


def training_settings(custom_config: Mapping[str, Any]) -> tuple[EncodeSettings, ModelSettings, TrainSettings]:
    """Parses the settings of training.

    Args:
      custom_config: the `custom_config` of the Trainer node, with keys `encode`, `model` and `train`.
    """
    return (
        EncodeSettings.model_validate(custom_config["encode"]),
        ModelSettings.model_validate(custom_config["model"]),
        TrainSettings.model_validate(custom_config["train"]),
    )


def with_values(custom_config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of `custom_config` with other values at some keys.

    Args:
      custom_config: nested sections.
      values: new values by dotted key.

    Example:
        with_values({"train": {"epochs": 5}}, {"train.epochs": 9})  # {"train": {"epochs": 9}}
    """
    changed = dict(copy.deepcopy(custom_config))
    for key, value in values.items():
        *path, name = key.split(".")
        functools.reduce(operator.getitem, path, changed)[name] = value
    return changed
