"""The memory estimate of a training."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from errors import TrainingTooLarge
from trainer.gradient.optimizers import build_optimizer
from trainer.model.network import build_model
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings
from trainer.training import memory

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
    assert "10,000,000,000 left and 1,000,000,000 right entities of model.dimension 64" in message
    # 11e9 rows of 65 numbers of 4 bytes.
    assert "tables 2,860.0 GB, optimizer 5,720.0 GB" in message
    assert re.search(r"and [\d.]+ GB are free\. Lower model\.dimension", message)


def test_container_limit_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    for rest, expected in ((None, 5000), (10**12, 5000), (1000, 1000)):
        monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
        monkeypatch.setattr(memory.cgroup, "free_memory", lambda rest=rest: rest)
        assert memory.available() == expected
