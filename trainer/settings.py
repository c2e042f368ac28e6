"""What the graph tells preprocessing and training: plain frozen dataclasses that cross process borders as JSON.

The pipeline file is validated by `pipeline.config`; these carry the part of it that the trainer needs, so that nothing
here depends on the floor above.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import operator
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class EncodeSettings:
    """How entity ids become rows of an embedding table (section `encode` of the pipeline file)."""

    min_count: int = 1
    max_vocabulary: int | None = None
    oov_buckets: int = 1
    oov_hashes: int = 1
    shared: bool = False


@dataclasses.dataclass(frozen=True)
class ScoreSettings:
    """How raw scores become signed labels: label = (score - center) / scale (section `score`)."""

    center: Literal["mean", "midpoint", "none"] = "mean"
    scale: Literal["std", "none"] = "none"


Objective = Literal["regression", "logistic", "softmax", "pairwise", "ials"]


@dataclasses.dataclass(frozen=True)
class NegativeSettings:
    """Which pairs are taken for negatives where the data hold positives only (section `model.negatives`)."""

    count: int = 4
    sampling: Literal["uniform", "popularity"] = "uniform"


@dataclasses.dataclass(frozen=True)
class AlsSettings:
    """How least squares is solved (section `train.als`)."""

    copies: int = 1
    ridge: float | None = None
    frequency_exponent: float = 1.0


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The shape of the model, what it minimises, and its penalty (section `model`)."""

    dimension: int = 64
    bias: bool = True
    objective: Objective = "regression"
    regularization: float = 0.0
    initial_scale: float = 0.1
    normalize: bool = False
    temperature: float = 1.0
    negatives: NegativeSettings = NegativeSettings()
    unobserved_weight: float = 0.1


@dataclasses.dataclass(frozen=True)
class EarlyStoppingSettings:
    """When training ends before its last epoch: no better loss for `patience` epochs on rows held out of train."""

    validation_fraction: float = 0.05
    patience: int = 2
    min_delta: float = 0.0


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How the model is fitted (section `train`)."""

    epochs: int = 20
    batch_size: int = 8192
    optimizer: Literal["adagrad", "adam", "sgd", "als"] = "adagrad"
    learning_rate: float = 0.1
    early_stopping: EarlyStoppingSettings | None = EarlyStoppingSettings()
    seed: int = 1
    data_memory_mb: int = 2048
    devices: Literal["one", "all", "workers"] = "one"
    als: AlsSettings = AlsSettings()
    warm_start: bool = False


def transform_settings(custom_config: dict[str, Any]) -> tuple[EncodeSettings, ScoreSettings]:
    """The settings of preprocessing, from the `custom_config` of the Transform node."""
    return EncodeSettings(**custom_config["encode"]), ScoreSettings(**custom_config["score"])


def training_settings(custom_config: dict[str, Any]) -> tuple[EncodeSettings, ModelSettings, TrainSettings]:
    """The settings of training, from the `custom_config` of the Trainer node."""
    model, train = dict(custom_config["model"]), dict(custom_config["train"])
    negatives, stopping, als = model.pop("negatives"), train.pop("early_stopping"), train.pop("als")
    return (
        EncodeSettings(**custom_config["encode"]),
        ModelSettings(negatives=NegativeSettings(**negatives), **model),
        TrainSettings(
            early_stopping=EarlyStoppingSettings(**stopping) if stopping else None, als=AlsSettings(**als), **train
        ),
    )


def with_values(custom_config: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`custom_config` with other settings at the dotted keys of `values`, such as `train.learning_rate`."""
    changed = copy.deepcopy(custom_config)
    for key, value in values.items():
        *path, name = key.split(".")
        functools.reduce(operator.getitem, path, changed)[name] = value
    return changed
