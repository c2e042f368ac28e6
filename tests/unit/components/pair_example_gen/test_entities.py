"""Merging the ids of shards: any division into shards gives the same table and the same codes."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.pair_example_gen import entities
from components.pair_example_gen.entities import IDS, merge, read_column
from tests import written_examples
from trainer.data.examples import EVAL, SPLITS, TRAIN, Entities

pytestmark = pytest.mark.tensorflow

ids = st.binary(min_size=1, max_size=2)
shards = st.lists(st.lists(st.tuples(ids, st.sampled_from(SPLITS)), max_size=20), max_size=6)
Shard = list[tuple[bytes, str]]


def _of_shard(rows: Shard) -> Entities:
    """Returns the distinct ids in the order of their first rows, as a writer of shards counts them."""
    counts = Counter(rows)
    distinct = list(dict.fromkeys(name for name, _ in rows))
    return Entities(
        pa.array(distinct, IDS),
        {split: np.array([counts[name, split] for name in distinct], np.int64) for split in SPLITS},
    )


@settings(max_examples=60)
@given(rows_of=shards, fold=st.integers(1, 20))
def test_any_division_into_shards_counts_alike(rows_of: list[Shard], fold: int) -> None:
    parts = {f"{number:05d}": _of_shard(rows) for number, rows in enumerate(rows_of)}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(entities, "_FOLD_ROWS", fold)
        merged, rank = merge(parts.items(), folder)
        codes = {name: rank[read_column(str(Path(folder, f"{name}.arrow")))] for name in parts}
    expected = {split: Counter(name for rows in rows_of for name, of in rows if of == split) for split in SPLITS}
    found = merged.ids.to_pylist()
    assert found == sorted(
        expected[TRAIN].keys() | expected[EVAL].keys(), key=lambda name: (expected[TRAIN][name], name), reverse=True
    )
    for split in SPLITS:
        assert merged.counts[split].tolist() == [expected[split][name] for name in found]
    for name, part in parts.items():
        assert [found[code] for code in codes[name]] == part.ids.to_pylist()


@pytest.mark.parametrize("distinct", [20_000, 50], ids=["all new", "all alike"])
def test_an_id_is_hashed_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distinct: int) -> None:
    hashed: list[int] = []
    add = entities._add

    def counted(found: Entities, group: list[tuple[str, Entities]], places: str) -> Entities:
        hashed.append(len(found) + sum(len(part) for _, part in group))
        return add(found, group, places)

    monkeypatch.setattr(entities, "_FOLD_ROWS", 100)
    monkeypatch.setattr(entities, "_add", counted)
    rows = [[(b"%d" % (number % distinct), TRAIN) for number in range(at, at + 50)] for at in range(0, 20_000, 50)]
    merged, _ = merge(((f"{number:05d}", _of_shard(shard)) for number, shard in enumerate(rows)), str(tmp_path))
    assert len(merged) == distinct
    # Each time with at least as many new rows as the table has. Every shard by itself would be 4 million.
    assert sum(hashed) <= 3 * 20_000


def test_shards_are_read_one_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    add = entities._add
    monkeypatch.setattr(entities, "_FOLD_ROWS", 4)
    monkeypatch.setattr(entities, "_add", lambda *given: (events.append("add"), add(*given))[1])

    def read():
        for number in range(4):
            events.append("read")
            yield f"{number}", _of_shard([(b"a", TRAIN), (b"b", TRAIN)])

    merge(read(), str(tmp_path))
    assert events == ["read", "read", "add", "read", "read", "add", "add"]


def test_an_id_of_both_sides_has_a_code_in_each(tmp_path: Path) -> None:
    rows = [(b"a", b"b", 1.0), (b"b", b"a", 2.0), (b"a", b"a", 3.0), (b"c", b"a", 4.0)]
    examples = written_examples.write(tmp_path, rows, [(b"b", b"d", 5.0)], per_shard=2)
    assert written_examples.read(examples) == {"train": rows, "eval": [(b"b", b"d", 5.0)]}
    assert examples.left.ids.to_pylist() == [b"a", b"c", b"b"]
    assert examples.right.ids.to_pylist() == [b"a", b"b", b"d"]
    assert examples.left.counts[TRAIN].tolist() == [2, 1, 1]
    assert examples.right.counts[TRAIN].tolist() == [3, 1, 0]
