"""Scales and ticks of charts."""

from __future__ import annotations

import dataclasses
import math

from pipeline.report import words


@dataclasses.dataclass(frozen=True)
class Scale:
    """Maps `[low, high]` to `[start, end]` (SVG user units), linearly or by logarithm (`log`).

    The ticks of a scale of counts, such as epochs (`whole`), are whole numbers.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    def __call__(self, value: float) -> float:
        """Returns the rounded position of `value`. Clips values outside the scale."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self._least)))
        part = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(part, 0.0), 1.0) * (self.end - self.start), 2)

    @property
    def _least(self) -> float:
        return self.low if self.log else -math.inf

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Returns round numbers on the scale with their labels: powers of ten, or about five steps of 1, 2 or 5."""
        values = _powers(self.low, self.high) if self.log else _steps(self.low, self.high, self.whole)
        return [(self(value), words.short(value)) for value in values]


def linear(low: float, high: float, start: float, end: float, whole: bool = False) -> Scale:
    """Returns a linear scale between round numbers around `low` and `high`. Adds space around a single value."""
    step = _step(low, high, whole)
    if low == high:
        low, high = low - step, high + step
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, end, whole=whole)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Returns a logarithmic scale over whole powers of ten that include the positive `low` and `high`."""
    bottom, top = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return Scale(10.0**bottom, 10.0 ** max(top, bottom + 1), start, end, log=True)


def _step(low: float, high: float, whole: bool) -> float:
    """Returns a step of 1, 2 or 5 times a power of ten, so that about four steps fit. At least 1 if it is `whole`."""
    rough = (high - low) / 4 or abs(high) / 4 or 1.0
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough * 0.999), 10 * power)
    return max(step, 1.0) if whole else step


def _steps(low: float, high: float, whole: bool) -> list[float]:
    step = _step(low, high, whole)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, (last - first + 1) // 5)
    return [10.0**power for power in range(first, last + 1, every)]
