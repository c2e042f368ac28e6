"""The predicted work grows with the data as the solvers' cost does, and bounds the search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.data.pairs import Pairs
from trainer.model.table_sizes import TableSizes
from trainer.search import planning
from trainer.search.plans import TIMES, Plan
from trainer.search.sweeps import Limits
from trainer.search.trials import Trials
from trainer.search.work import Work
from trainer.settings import SEARCHABLE, ModelSettings, TrainSettings

SIZES = TableSizes(501, 301)


def _pairs(rows: int = 10_000, label: float | None = 1.0) -> Pairs:
    """Returns pairs, most inside one of 20 groups. Without a label, it is 1 inside and 0 outside, with noise."""
    random = np.random.default_rng(3)
    left, other = random.integers(0, 500, rows), random.integers(0, 300, rows)
    own = random.integers(0, 15, rows) * 20 + left % 20
    right = np.where(random.random(rows) < 0.8, own, other)
    labels = np.full(rows, label) if label else (right % 20 == left % 20) + random.normal(0, 0.5, rows)
    return Pairs(left.astype(np.int32), right.astype(np.int32), labels.astype(np.float32))


def _sections(scored: bool) -> dict[str, Any]:
    objective: Any = "regression" if scored else "ials"
    return {
        "model": ModelSettings(objective=objective).model_dump(mode="json"),
        "train": TrainSettings(optimizer="als").model_dump(mode="json"),
    }


def _searched(pairs: Pairs, scored: bool, times: float = TIMES) -> Trials:
    kept, held = pairs.hold_out(0.1, 1)
    sections = _sections(scored)
    trials = Trials(kept, held, SIZES, sections, "rmse" if scored else "ndcg@10", 60)
    planning.follow(trials, Plan(SEARCHABLE[scored], sections, times=times))
    return trials


def _training(trials: Trials) -> float:
    """Returns the predicted work of the final training with the best settings."""
    best = trials.best()
    objective = best.settings.get("model.objective", "regression")
    return trials.work.training(
        objective, trials.dimension_of(best.settings), best.epochs, best.settings.get("train.als.copies", 1)
    )


@pytest.mark.parametrize("scored", [False, True])
def test_search_costs_at_most_three_times_the_training(scored: bool) -> None:
    trials = _searched(_pairs(label=None if scored else 1.0), scored)
    # The choice may be smaller than the sum that the bound expects.
    expected = [_training(trials)] + ([] if scored else [trials.work.training("blend", 128, 3)])
    assert trials.worked <= 1.05 * TIMES * max(expected)
    assert len(trials.done) > 4


def test_search_without_a_bound_goes_further() -> None:
    pairs = _pairs(label=None)
    bounded, free = _searched(pairs, True, times=0.0), _searched(pairs, True, times=math.inf)
    assert len(bounded.done) < len(free.done)
    assert {trial.settings["model.dimension"] for trial in bounded.done} == {16}


def test_first_trial_of_each_kind_is_made_in_any_case() -> None:
    trials = _searched(_pairs(), False, times=0.0)
    assert {trial.settings["model.objective"] for trial in trials.done} == {"ials", "spectral", "blend"}


def test_bound_does_not_depend_on_the_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = _pairs()
    first = _searched(pairs, False)
    slow = iter(range(10**9))
    monkeypatch.setattr("trainer.search.sweeps.time.monotonic", lambda: float(next(slow) * 1_000))
    second = _searched(pairs, False)
    assert [trial.settings for trial in first.done] == [trial.settings for trial in second.done]
    assert first.worked == second.worked > 0


def test_work_of_a_trial_is_that_of_its_steps() -> None:
    """A quick trial that continues costs its further sweeps and measures only."""
    kept, held = _pairs().hold_out(0.1, 1)
    sections = {
        "model": ModelSettings(objective="ials").model_dump(),
        "train": TrainSettings(optimizer="als").model_dump(),
    }
    trials = Trials(kept, held, SIZES, sections, "ndcg@10", 2)
    settings = {"model.objective": "ials", "model.dimension": 8}
    costs = trials.work.costs("ials", (8,))
    quick = trials.run(settings, 2, quick=True)
    whole = trials.run(settings, 3, limits=Limits(affords=lambda epochs, done: True))
    assert quick is not None and quick.work == pytest.approx(costs.start + 2 * costs.sweep + costs.measure, abs=1e-4)
    assert whole is not None and whole.work == pytest.approx(costs.sweep + costs.measure, abs=1e-4)


def test_sweeps_end_where_the_search_affords_no_more() -> None:
    kept, held = _pairs().hold_out(0.1, 1)
    sections = {
        "model": ModelSettings(objective="ials").model_dump(),
        "train": TrainSettings(optimizer="als").model_dump(),
    }
    trials = Trials(kept, held, SIZES, sections, "ndcg@10", 1)
    settings = {"model.objective": "ials", "model.dimension": 8}
    trial = trials.run(settings, 9, limits=Limits(affords=lambda epochs, done: done < 2))
    assert trial is not None and trial.sweeps == 2


def test_work_grows_with_rows_dimension_and_copies() -> None:
    few, many = (Work(_pairs(rows), SIZES, queries=100) for rows in (5_000, 50_000))
    for objective in ("ials", "spectral", "regression"):
        assert few.sweep(objective, 64) < many.sweep(objective, 64) < many.sweep(objective, 128)
    # Moments of scored pairs cost the square of the numbers of a row.
    assert many.sweep("regression", 63) == pytest.approx(4 * many.sweep("regression", 31))
    both = many.costs("regression", (64,), copies=4), many.costs("regression", (16,))
    assert both[0].sweep == pytest.approx(4 * both[1].sweep)
    parts = many.training("ials", 64, 3) + many.training("spectral", 64, 5)
    assert many.training("blend", 128, 3) == pytest.approx(parts, rel=0.5)
    assert few.ranking(64) == many.ranking(64) > 0 == Work(_pairs(5_000), SIZES, queries=0).ranking(64)
