"""The memory estimate of a training."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from errors import TrainingTooLarge
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import collect
from trainer.gradient.optimizers import build_optimizer
from trainer.model.network import build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings, TrainSettings
from trainer.training import fitting, memory

pytestmark = pytest.mark.tensorflow

SIZES = TableSizes(300, 200)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
@pytest.mark.parametrize("bias", [True, False])
def test_estimate_matches_keras_allocation(optimizer: str, bias: bool) -> None:
    model, settings = ModelSettings(dimension=16, bias=bias), TrainSettings(optimizer=optimizer)
    network = build_model(SIZES, model, seed=1)
    keras_optimizer = build_optimizer(settings)
    keras_optimizer.build(network.trainable_variables)
    parts = memory.needed(SIZES, model, settings)
    tables = sum(int(variable.numpy().nbytes) for variable in network.variables)
    slots = sum(int(v.numpy().nbytes) for v in keras_optimizer.variables if len(v.shape) == 2)
    assert parts["tables"] == pytest.approx(tables, abs=8)
    # Row-wise Adagrad also keeps a number for each row of a bias.
    assert parts["optimizer"] == pytest.approx(slots, rel=0.01, abs=4 * 500)


def test_shared_table_counts_once() -> None:
    shared = memory.needed(TableSizes(300, 300, shared=True), ModelSettings(bias=False), TrainSettings())
    apart = memory.needed(TableSizes(300, 300), ModelSettings(bias=False), TrainSettings())
    assert 2 * shared["tables"] == apart["tables"]


def test_too_large_training_is_refused() -> None:
    sizes = TableSizes(10**10, 10**9)
    with pytest.raises(TrainingTooLarge) as refused:
        memory.check(sizes, ModelSettings(), TrainSettings(optimizer="adam"))
    assert refused.value.exit_code == 2
    message = str(refused.value)
    assert "0 pairs of 10,000,000,000 left and 1,000,000,000 right entities with model.dimension 64" in message
    # 11e9 rows of 65 numbers of 4 bytes.
    assert "tables 2,860.0 GB, optimizer 5,720.0 GB" in message
    assert re.search(r"and [\d.,]+ [MG]B are free\. Lower model\.dimension", message)


def test_container_limit_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    for rest, expected in ((None, 5000), (10**12, 5000), (1000, 1000)):
        monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
        monkeypatch.setattr(memory.cgroup, "free_memory", lambda rest=rest: rest)
        assert memory.available() == expected


MANY = TableSizes(6000, 5000)  # nearly all pairs are different
BLOCKS = 40 << 20  # of scores and of rows, whatever the number of pairs


def _peak(rows: int, model: ModelSettings, settings: TrainSettings, directory: Path, limit: int) -> int:
    """Returns the bytes of arrays at the peak of loading and training."""
    random = np.random.default_rng(1)

    def part(count: int) -> Pairs:
        ids = (random.integers(0, size, count).astype(np.int32) for size in (MANY.left, MANY.right))
        labels = np.sign(random.standard_normal(count, np.float32)) if model.objective != "ials" else np.ones(count)
        return Pairs(*ids, labels.astype(np.float32), random.random(count, np.float32))

    tracemalloc.start()
    try:
        pairs = collect((part(rows // 8) for _ in range(8)), limit, str(directory))
        fitting.fit(pairs, MANY, model, settings)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("objective", "optimizer", "copies", "streamed", "rows"),
    [
        ("regression", "adagrad", 1, False, 400_000),
        ("regression", "adagrad", 1, True, 400_000),
        ("regression", "als", 1, False, 800_000),
        ("regression", "als", 3, False, 800_000),
        ("logistic", "als", 1, False, 800_000),
        ("ials", "als", 1, False, 800_000),
    ],
)
def test_estimate_covers_rows_of_training(
    objective: str, optimizer: str, copies: int, streamed: bool, rows: int, tmp_path: Path
) -> None:
    """The rows are nearly all that so few entities need. An estimate far above it would refuse what fits."""
    model = ModelSettings(objective=objective, dimension=3)
    settings = TrainSettings(optimizer=optimizer, epochs=1, als=AlsSettings(copies=copies))
    tables = sum(memory.needed(MANY, model, settings).values())
    estimate = memory.pair_bytes(rows, model, settings, streamed)
    peak = _peak(rows, model, settings, tmp_path, 0 if streamed else 1 << 40)
    assert 0.6 * estimate < peak < estimate + tables + BLOCKS


def _free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(memory, "available", lambda: size)


def test_training_streams_only_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = ModelSettings(objective="regression"), TrainSettings()
    tables = sum(memory.needed(SIZES, model, settings).values())
    _free(monkeypatch, tables + 48 * 10**6)
    assert memory.streaming(10**6, SIZES, model, settings, searched=False) is None
    found = memory.streaming(10**6 + 1, SIZES, model, settings, searched=False)
    assert found == memory.Streaming(48 * 10**6 + 48, 48 * 10**6)
    assert found.describe() == (
        "pairs streamed from disk, because in memory they need about 48 MB, and 48 MB are free for them"
    )


def test_solver_never_streams_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = ModelSettings(objective="ials"), TrainSettings(optimizer="als")
    _free(monkeypatch, 100 * 10**6)
    assert memory.streaming(10**6, SIZES, model, settings, searched=False) is None
    with pytest.raises(TrainingTooLarge, match=r"1,000,000 pairs .*pairs 88 MB.* choose model\.objective: softmax"):
        memory.check(SIZES, model, settings, 10**6, loaded=False)
    # The columns that are in memory are not needed again.
    memory.check(SIZES, model, settings, 10**6)


def test_search_needs_pairs_in_memory_but_no_large_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = ModelSettings(objective="regression", dimension=10**6), TrainSettings()
    _free(monkeypatch, 136 * 10**6)
    assert memory.streaming(10**6, SIZES, model, settings, searched=True) is None
    assert memory.streaming(10**6 + 1, SIZES, model, settings, searched=True) is not None
