"""Section `train`: how the model is fitted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from pipeline.config.sections.base import Number, PositiveInt, Section


class EarlyStopping(Section):
    """No better loss for `patience` epochs on rows held out of the train split ends training."""

    validation_fraction: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    patience: PositiveInt = 2
    min_delta: Annotated[Number, Field(ge=0)] = 0.0


class Als(Section):
    """How least squares is solved; `copies` and `ridge` for scored pairs, `frequency_exponent` for positives."""

    copies: PositiveInt = 1
    ridge: Annotated[Number, Field(gt=0)] | None = None
    frequency_exponent: Annotated[Number, Field(ge=0, le=2)] = 1.0


class Train(Section):
    """How the model is fitted."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 8192
    optimizer: Literal["adagrad", "adam", "sgd", "als"] = "adagrad"
    learning_rate: Annotated[Number, Field(gt=0)] = 0.1
    early_stopping: EarlyStopping | None = EarlyStopping()
    # NumPy's generator, which Keras seeds too, takes 32 bits.
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 1
    data_memory_mb: PositiveInt = 2048
    devices: Literal["one", "all", "workers"] = "one"
    als: Als = Als()
    warm_start: StrictBool = False
