"""Paired intervals of two planted models on the same held-out rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.commands import model_differences
from pipeline.records.run_folder import RunFolder
from pipeline.report.sources import Absent
from tests import written_examples
from trainer.export.tables import Side, Tables

pytestmark = pytest.mark.tensorflow

LEFT, RIGHT = 30, 20


@dataclasses.dataclass
class _Run:
    """What `of_runs` reads of a run."""

    examples: str
    tables: Tables

    def uri(self, node_id: str, key: str) -> str:
        assert (node_id, key) == ("PairExampleGen", "examples")
        return self.examples


def _examples(folder: Path, seed: int = 1) -> str:
    draw = np.random.default_rng(seed)
    rows = [
        (f"l{i}".encode(), f"r{j}".encode(), float(draw.normal(i % 3 + j % 2)))
        for i in range(LEFT)
        for j in range(RIGHT)
    ]
    order = draw.permutation(len(rows))
    held = [rows[n] for n in sorted(order[:200])]
    written_examples.write(folder, [rows[n] for n in order[200:]], held)
    return str(folder)


def _tables(error: float, seed: int = 2) -> Tables:
    """Scores are the biases i % 3 + j % 2, with noise."""
    import pyarrow as pa

    draw = np.random.default_rng(seed)

    def side(name: str, count: int, modulus: int) -> Side:
        ids = pa.array([f"{name}{n}".encode() for n in range(count)], pa.large_binary())
        bias = (np.arange(count + 1) % modulus + error * draw.normal(size=count + 1)).astype(np.float32)
        return Side(ids, np.zeros((count + 1, 2), np.float32), bias)

    return Tables(side("l", LEFT, 3), side("r", RIGHT, 2), 0.0)


def _compare(monkeypatch: pytest.MonkeyPatch, *runs: _Run) -> Any:
    given = iter(runs)
    monkeypatch.setattr(model_differences, "_read", lambda folder: next(given))
    folder = RunFolder(Path("unused"))
    return model_differences.of_runs(folder, folder, ["rmse", "mae"])


def test_interval_is_that_of_paired_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples, again = _examples(tmp_path / "a"), _examples(tmp_path / "b")
    worse, better = _tables(0.8), _tables(0.05, seed=3)
    found = _compare(monkeypatch, _Run(examples, worse), _Run(again, better)).intervals
    # The oracle draws left entities with replacement.
    rows = written_examples.read(written_examples.Examples(examples))["eval"]
    left, right, label = (np.array(column) for column in zip(*rows, strict=True))
    at = [np.array([int(name[1:]) for name in names]) for names in (left, right)]
    errors = [(t.left.bias[at[0]] + t.right.bias[at[1]] - label) ** 2 for t in (worse, better)]
    draw, differences = np.random.default_rng(5), []
    for _ in range(2000):
        weight = np.bincount(draw.integers(0, LEFT, LEFT), minlength=LEFT)[at[0]]
        rmse = [np.sqrt((weight * error).sum() / weight.sum()) for error in errors]
        differences.append(rmse[1] - rmse[0])
    low, high = np.quantile(differences, [0.025, 0.975])
    assert found["rmse"] == pytest.approx((low, high), abs=0.06)
    assert found["rmse"][1] < 0 and found["mae"][1] < 0


def test_other_rows_have_no_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = _tables(0.1)
    runs = [_Run(_examples(tmp_path / str(seed), seed), tables) for seed in (1, 2)]
    found = _compare(monkeypatch, *runs)
    assert found.intervals == {} and found.problem == "the runs evaluated different rows"


def test_removed_model_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(folder: RunFolder) -> _Run:
        raise Absent("The output of Trainer was deleted: /x.")

    monkeypatch.setattr(model_differences, "_read", gone)
    folder = RunFolder(tmp_path)
    assert model_differences.of_runs(folder, folder, ["rmse"]).to_json() == {
        "intervals": {},
        "problem": "The output of Trainer was deleted: /x",
    }
