"""Proposes values of the parameters of a family of settings, at random or by Bayesian optimization."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.search.space import Family, Method

# Random proposals before a model of the metric is of use, and proposals among which it chooses.
_RANDOM, _CANDIDATES = 3, 500
# Draws until one is new. More would only repeat earlier proposals.
_DRAWS = 200


class Proposer:
    """Proposes settings of a family.

    With `bayesian`, a Gaussian process models the metric, and the proposal has the largest expected improvement (Jones,
    Schonlau & Welch 1998, section 4.1. Snoek, Larochelle & Adams 2012, section 3).

    Args:
      family: the settings.
      method: how to propose.
      seed: of the draws.
    """

    def __init__(self, family: Family, method: Method, seed: int) -> None:
        self._family, self._method, self._seed = family, method, seed
        self._draw = np.random.default_rng(seed)
        self._proposed: list[dict[str, Any]] = []

    def next(self, tried: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, Any] | None:
        """Returns settings that are not proposed yet, or None if there are no more.

        Args:
          tried: the settings of finished trials of this family, and how good each is. Larger is better.
        """
        values = self._family.first if not self._proposed and self._family.first is not None else self._new(tried)
        if values is None or values in self._proposed:
            return None
        self._proposed.append(values)
        return {**self._family.settings, **values}

    def _new(self, tried: Sequence[tuple[Mapping[str, Any], float]]) -> dict[str, Any] | None:
        finite = [(settings, gain) for settings, gain in tried if math.isfinite(gain)]
        modeled = self._method == "bayesian" and len(finite) >= _RANDOM
        found: list[dict[str, Any]] = []
        for _ in range(_CANDIDATES if modeled else _DRAWS):
            values = {key: self._value(parameter) for key, parameter in self._family.parameters.items()}
            if values not in self._proposed:
                found.append(values)
                if not modeled:
                    break
        if len(found) < 2 or not modeled:
            return found[0] if found else None
        places = np.array([self._place(settings) for settings, _ in finite])
        improvement = _expected_improvement(
            places, np.array([gain for _, gain in finite]), np.array([self._place(one) for one in found]), self._seed
        )
        return found[int(np.argmax(improvement))]

    def _value(self, parameter: Mapping[str, Any]) -> Any:
        if "choices" in parameter:
            return parameter["choices"][int(self._draw.integers(len(parameter["choices"])))]
        low, high = parameter["min"], parameter["max"]
        if parameter["scale"] == "log":
            value = math.exp(self._draw.uniform(math.log(low), math.log(high)))
        else:
            value = self._draw.uniform(low, high)
        if isinstance(low, int) and isinstance(high, int):
            return int(min(max(round(value), low), high))
        return min(max(float(f"{value:.4g}"), low), high)

    def _place(self, settings: Mapping[str, Any]) -> list[float]:
        """Returns the coordinates of settings: between 0 and 1 for each range and each ordered choice."""
        place: list[float] = []
        for key, parameter in self._family.parameters.items():
            value = settings.get(key)
            if "choices" not in parameter:
                low, high = float(parameter["min"]), float(parameter["max"])
                at = float(value)  # type: ignore[arg-type]
                if parameter["scale"] == "log":
                    low, high, at = math.log(low), math.log(high), math.log(at)
                place.append((at - low) / (high - low))
            elif all(isinstance(choice, int | float) for choice in parameter["choices"]):
                ordered = sorted(parameter["choices"])
                place.append(ordered.index(value) / max(len(ordered) - 1, 1))
            else:
                place += [float(value == choice) for choice in parameter["choices"]]
        return place


def _expected_improvement(places: np.ndarray, gains: np.ndarray, candidates: np.ndarray, seed: int) -> np.ndarray:
    """Returns the expected improvement over the best of `gains` `[n]` at `candidates` `[m, k]`, float64 `[m]`."""
    # A local import, because it takes a second, and only this search needs it.
    from scipy.stats import norm
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    # Failed or extreme trials must not hide the differences between good ones.
    gains = np.maximum(gains, np.median(gains) - 3 * (gains.max() - np.median(gains) + 1e-12))
    kernel = Matern(np.full(places.shape[1], 0.5), (0.05, 10.0), nu=2.5) + WhiteKernel(1e-3, (1e-6, 0.5))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(places, gains)
    mean, deviation = process.predict(candidates, return_std=True)
    deviation = np.maximum(deviation, 1e-12)
    standard = (mean - gains.max()) / deviation
    return np.asarray(deviation * (standard * norm.cdf(standard) + norm.pdf(standard)))
