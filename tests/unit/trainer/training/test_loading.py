"""Pairs are loaded into memory where they fit, and streamed from disk where they do not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from errors import DiskFull, TrainingTooLarge
from trainer.data.pairs import Pairs
from trainer.data.sharded_pairs import ShardedPairs, collect
from trainer.model.table_sizes import TableSizes
from trainer.settings import ModelSettings, TrainSettings
from trainer.training import loading

pytestmark = pytest.mark.tensorflow

SIZES = TableSizes(30, 20)
MODEL, TRAIN = ModelSettings(objective="regression", dimension=2), TrainSettings(batch_size=8)
PAIRS = Pairs(np.arange(1000, dtype=np.int32) % 30, np.arange(1000, dtype=np.int32) % 20, np.ones(1000, np.float32))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The limit of each load, in bytes."""
    limits: list[int] = []

    def load(examples: object, encode: object, limit: int, directory: str, unordered: bool) -> object:
        limits.append(limit)
        return collect(iter([PAIRS]), limit, directory, unordered)

    monkeypatch.setattr(loading.dataset, "load", load)
    return limits


def _load(directory: Path, *, free: int, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Any:
    monkeypatch.setattr(loading.memory, "available", lambda: free)
    examples: Any = SimpleNamespace(count=lambda split: len(PAIRS))
    given = {"model": MODEL, "train": TRAIN, "searched": False} | changed
    return loading.load(examples, lambda raw: raw, SIZES, directory=str(directory), **given)


def test_pairs_that_fit_are_in_memory(tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, why = _load(tmp_path, free=10**6, monkeypatch=monkeypatch)
    assert isinstance(pairs, Pairs) and why is None and read == [2048 << 20]


def test_pairs_that_do_not_fit_are_streamed(tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, why = _load(tmp_path, free=30_000, monkeypatch=monkeypatch)
    assert isinstance(pairs, ShardedPairs) and len(pairs) == 1000 and read == [0]
    assert why.startswith("pairs streamed from disk, because in memory they need about 0 MB")


def test_search_is_left_out_for_streamed_pairs(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, why = _load(tmp_path, free=30_000, monkeypatch=monkeypatch, searched=True)
    assert "are free for them. Settings were not searched, because that needs pairs in memory" in why


def test_setting_streams_too(tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.dataset, "load", lambda *given: collect(iter([PAIRS]), given[2] >> 20, str(tmp_path)))
    pairs, why = _load(tmp_path, free=10**9, monkeypatch=monkeypatch, train=TRAIN.replace(data_memory_mb=7))
    assert isinstance(pairs, ShardedPairs)
    assert why == "pairs streamed from disk, because they need more than train.data_memory_mb 7"


def test_solver_is_refused_before_pairs_are_read(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingTooLarge, match="pairs 0 MB"):
        _load(tmp_path, free=30_000, monkeypatch=monkeypatch, train=TRAIN.replace(optimizer="als"))
    assert not read


def test_disk_without_room_for_streamed_pairs_is_refused(
    tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=100, total=1, used=1))
    with pytest.raises(DiskFull, match="the pairs of the training"):
        _load(tmp_path, free=30_000, monkeypatch=monkeypatch)
    assert not read
