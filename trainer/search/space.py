"""What `tune` tries. Imports stay light, because the configuration imports this module."""

from __future__ import annotations

from typing import Any, Literal

from sections import PositiveInt, Section
from trainer.settings import LOG_LOSS, MAE, RMSE

# The metrics of labels that compare trials. A lower error is better, a higher area.
AUC = "auc"
LABEL_METRICS = (RMSE, MAE, LOG_LOSS, AUC)

Method = Literal["bayesian", "random"]
# The rows that measure trials: random ones, the latest tenth, or the latest row of each left entity.
HoldOut = Literal["random", "latest", "latest_of_left"]


class Family(Section):
    """Settings to try together.

    Attributes:
      settings: values by dotted key, the same in each trial.
      first: values of parameters in the first trial. Without them, the first trial is drawn like the others.
      parameters: `{"choices": [...]}` or `{"min", "max", "scale"}` by dotted key.
    """

    settings: dict[str, Any] = {}
    first: dict[str, Any] | None = None
    parameters: dict[str, dict[str, Any]] = {}


class TuneSettings(Section):
    """The budget and the candidates of `tune`.

    Attributes:
      trials: the maximum number of settings to try besides the current ones.
      search: how values of parameters are proposed.
      seed: of the held-out rows, the proposals and the intervals.
      hold_out: the rows that measure.
      least_squares: settings that make least squares possible, for the plan of the default search. None leaves it out.
      families: what else is tried.
    """

    trials: PositiveInt
    search: Method
    seed: PositiveInt
    hold_out: HoldOut = "random"
    least_squares: dict[str, Any] | None = None
    families: tuple[Family, ...]
