"""How often the rules of the Evaluator and of the gate decide by chance, by simulation.

    python -m benchmarks.verdicts [--chains 20] [--draws 300]

Four simulations with the functions of the components, on labels and predictions that are drawn, without training:

- noise: a model that is as good as the constant mean. It should beat the baseline in at most 2.5 % of runs.
- equal: chains of 200 retrainings, all equally good. Each is compared with the model that sets the bar.
- decay: chains of 200 retrainings, each worse than the one before by a thousandth of the gain over the baseline.
- gate: two sets of rows from one distribution, of 20 to 10,000,000 rows, of many entities and of 20 equally frequent
  ones. The other set has as many rows, or ten times as many up to a million.

The result has the share of noise that is blessed, the share of equal models that is refused, the quality that is left
at the end of a chain (1 is the first model, 0 the baseline), and the largest share of false alarms of the gate.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from components.data_gate import rules as gate
from components.data_gate.settings import GateSettings
from components.evaluator.evaluation import Evaluation
from components.evaluator.figures import LAST_BLESSED, MEAN
from components.evaluator.measure import Measured, measure
from components.evaluator.metrics import Answers, Labels
from components.evaluator.rules import judge
from components.evaluator.settings import default_rules, wanted
from components.pair_statistics.distribution import COUNTS, Distribution

_RULES = default_rules("rmse")
_RETRAININGS = 200
_SIZES = ((40, 12), (300, 60), (3000, 400))  # eval rows, left entities
_GATE_SIZES = (20, 30, 100, 1_000, 30_000, 10_000_000)
_LARGE, _LARGE_DRAWS = 1_000_000, 3
_POPULARITIES = ((1000, 1), (20, 0))  # entities, and the exponent of Zipf's law
# Of the deviation of labels: what a model explains, and what a single training adds at random.
_EXPLAINED, _LUCK = 0.6, 0.05


class Retrainings:
    """Models of one pipeline on the same eval rows.

    The label of a row is the sum of what a model can learn, `signal`, and of noise. A model misses a part of the
    signal, and adds its own errors.

    Args:
      draw: draws labels and errors.
      rows: number of eval rows.
      entities: number of left entities, with as many rows as Zipf's law gives them.
    """

    def __init__(self, draw: np.random.Generator, rows: int, entities: int) -> None:
        self._draw = draw
        share = 1 / np.arange(1, entities + 1)
        self._entity = draw.choice(entities, rows, p=share / share.sum())
        of_entity = draw.normal(0, 0.3, entities)
        self._signal = _EXPLAINED * draw.normal(size=rows)
        label = self._signal + of_entity[self._entity] + draw.normal(0, (1 - _EXPLAINED**2) ** 0.5, rows)
        self._labels = Labels(label, label > 0)

    def model(self, quality: float) -> Answers:
        """Returns the predictions of a model whose RMSE has a share of the best gain over the baseline."""
        worst, best = 1.0, (1 - _EXPLAINED**2) ** 0.5
        missed = (worst - quality * (worst - best)) ** 2 - best**2
        errors = self._draw.normal(0, _LUCK, len(self._entity))
        return _answers((1 - missed**0.5 / _EXPLAINED) * self._signal + errors)

    def noise(self) -> Answers:
        """Returns predictions that are as good as the mean: errors that a step towards the labels makes up for."""
        errors = self._draw.normal(0, _LUCK, len(self._entity))
        error, label = errors @ errors, self._labels.value
        # With these, the expected squared error equals that of the constant: 2 E[error x label] = E[error^2].
        return _answers(errors + error / (2 * label @ label) * label)

    def evaluate(self, candidate: Answers, last: Answers | None) -> Evaluation:
        """Judges a candidate by the default rules."""
        others = {MEAN: _answers(np.zeros(len(self._entity)))} | ({LAST_BLESSED: last} if last else {})
        figures = measure(Measured(self._labels, candidate, others, self._entity), {}, wanted(_RULES))
        return Evaluation(figures, judge(_RULES, figures))


def _answers(value: np.ndarray) -> Answers:
    return Answers(value, value)


def chain(models: Retrainings, qualities: Iterator[float]) -> tuple[int, list[float]]:
    """Publishes the models of `qualities` that are blessed. Returns the number of refused ones, and the published ones.

    The first model is published as it is. It starts the chain.
    """
    bar = models.model(1.0)
    refused, published = 0, [1.0]
    for quality in qualities:
        candidate = models.model(quality)
        evaluation = models.evaluate(candidate, bar)
        if not evaluation.blessed:
            refused += 1
            continue
        published.append(quality)
        if evaluation.sets_the_bar:
            bar = candidate
    return refused, published


def blessed_noise(draw: np.random.Generator, draws: int) -> float:
    """Returns the largest share of noise that beats the baseline, of all sizes."""
    shares = []
    for rows, entities in _SIZES:
        found = 0
        for _ in range(draws):
            models = Retrainings(draw, rows, entities)
            found += models.evaluate(models.noise(), None).blessed
        shares.append(found / draws)
        print(f"noise: {rows:,} rows: {shares[-1]:.2%} blessed", flush=True)
    return max(shares)


def refused_equals(draw: np.random.Generator, chains: int) -> float:
    """Returns the largest share of equally good models that is refused, of all sizes."""
    shares = []
    for rows, entities in _SIZES[1:]:
        refused = sum(chain(Retrainings(draw, rows, entities), iter([1.0] * _RETRAININGS))[0] for _ in range(chains))
        shares.append(refused / chains / _RETRAININGS)
        print(f"equal: {rows:,} rows: {shares[-1]:.2%} of {chains} x {_RETRAININGS} refused", flush=True)
    return max(shares)


def kept_of_decay(draw: np.random.Generator, chains: int) -> float:
    """Returns the lowest quality of a published model at the end of a chain, of the largest size."""
    rows, entities = _SIZES[-1]
    falling = [1 - step / 1000 for step in range(1, _RETRAININGS + 1)]
    lowest = [min(chain(Retrainings(draw, rows, entities), iter(falling))[1]) for _ in range(chains)]
    print(f"decay: {rows:,} rows: the models fall to {falling[-1]:.3f}, the published ones to {min(lowest):.3f}")
    return min(lowest)


def false_alarms(draw: np.random.Generator, draws: int) -> float:
    """Returns the largest share of false alarms of all rules of skew and drift together, of all sizes."""
    shares = []
    for rows in _GATE_SIZES:
        times = draws if rows < _LARGE else _LARGE_DRAWS
        for others in {rows, min(10 * rows, _LARGE)}:
            for entities, exponent in _POPULARITIES:
                alarms = sum(
                    _alarms(*(_sample(draw, count, entities, exponent) for count in (rows, others)))
                    for _ in range(times)
                )
                shares.append(alarms / times)
                sizes = f"{rows:,} against {others:,} rows of {entities:,} entities"
                print(f"gate: {sizes}: {shares[-1]:.2%} of {times} raise an alarm", flush=True)
    return max(shares)


def _sample(draw: np.random.Generator, rows: int, entities: int, exponent: int) -> Distribution:
    share = np.arange(1, entities + 1) ** -float(exponent)
    sides = [_counts(draw.choice(entities, rows, p=share / share.sum())) for _ in range(2)]
    left, right = sides
    return Distribution(left, right, np.sort(draw.normal(size=rows).astype(np.float32)))


def _counts(codes: np.ndarray) -> pa.Table:
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return pa.table([[b"%d" % code for code in found[order]], counts[order]], schema=COUNTS)


def _alarms(current: Distribution, accepted: Distribution) -> bool:
    settings = GateSettings()
    drift = gate.check_drift({"train": current}, {"train": accepted}, settings)
    skew = gate.check_skew({"train": accepted, "eval": current}, settings)
    return not all(check.ok for check in (*drift, *skew))


def main() -> None:
    """Simulates. Prints a line per size and one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=str(__doc__).splitlines()[0])
    parser.add_argument("--chains", type=int, default=20)
    parser.add_argument("--draws", type=int, default=300)
    arguments = parser.parse_args()
    parts: dict[str, Callable[[np.random.Generator], float]] = {
        "noise_blessed": lambda draw: blessed_noise(draw, arguments.draws),
        "equals_refused": lambda draw: refused_equals(draw, arguments.chains),
        "kept_of_decay": lambda draw: kept_of_decay(draw, arguments.chains),
        "false_alarms": lambda draw: false_alarms(draw, arguments.draws),
    }
    result = {name: round(part(np.random.default_rng(1)), 4) for name, part in parts.items()}
    print(json.dumps({"benchmark": "verdicts", **result, "unit": "share", "n": _RETRAININGS, "runs": arguments.chains}))


if __name__ == "__main__":
    main()
