"""The floor of `benchmarks.pipeline`, against plain Python."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks import floor
from benchmarks.synthetic import Planted, write_csv

STEPS = {"parquet", "read", "unify", "codes", "counts", "order", "encode"}


def expected(ids: list[bytes]) -> tuple[list[bytes], list[int]]:
    counts = Counter(ids)
    ordered = sorted(sorted(counts, reverse=True), key=lambda name: -counts[name])
    return ordered, [ordered.index(name) for name in ids]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_csv(Planted(400, left_entities=30, right_entities=11), tmp_path / "pairs.csv")
    return tmp_path / "pairs.csv"


@pytest.mark.parametrize("block_bytes", [1 << 20, 1000])
def test_codes_equal_plain_python(pairs: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "_BLOCK_BYTES", block_bytes)  # 1,000: many blocks, each with its own dictionaries
    columns = floor.make_columns(pairs, pairs.with_suffix(".parquet"), defaultdict(float))
    with pairs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    for name, side in (("left_id", columns.left), ("right_id", columns.right)):
        ids, codes = expected([row[name].encode() for row in rows])
        assert side.ids.to_pylist() == ids
        assert side.codes.tolist() == codes
        assert side.codes.dtype == np.int32
    np.testing.assert_array_equal(columns.score, np.array([row["score"] for row in rows]).astype(np.float32))


def test_every_step_is_timed(pairs: Path) -> None:
    seconds: floor.Seconds = defaultdict(float)
    floor.make_columns(pairs, pairs.with_suffix(".parquet"), seconds)
    assert set(seconds) == STEPS
    assert min(seconds.values()) > 0
