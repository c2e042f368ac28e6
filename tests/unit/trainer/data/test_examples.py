"""Examples in columns: every row comes back, and codes follow the order of TensorFlow Transform's vocabularies."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen import shards
from errors import KindredError
from tests import written_examples
from trainer.data.examples import Examples, NoColumns, of_split

pytestmark = pytest.mark.tensorflow

ids = st.text(min_size=1, max_size=3).filter(lambda text: text.isprintable()).map(str.encode)
rows = st.lists(st.tuples(ids, ids, st.floats(-5, 5, width=32)), max_size=40)


@given(train=rows, held_out=rows, per_shard=st.integers(1, 30))
def test_all_rows_come_back(
    train: list[written_examples.Row], held_out: list[written_examples.Row], per_shard: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        examples = written_examples.write(Path(folder), train, held_out, per_shard)
        assert written_examples.read(examples) == {"train": train, "eval": held_out}
        for place, entities in enumerate((examples.left, examples.right)):
            counts = {
                name: Counter(row[place] for row in split) for name, split in (("train", train), ("eval", held_out))
            }
            found = entities.ids.to_pylist()
            assert set(found) == set(counts["train"]) | set(counts["eval"])
            for name, expected in counts.items():
                assert entities.counts[name].tolist() == [expected[entity] for entity in found]
            assert found == sorted(found, key=lambda entity: (counts["train"][entity], entity), reverse=True)
            assert entities.trained == len(counts["train"])


def test_parquet_files_have_the_same_rows(tmp_path: Path) -> None:
    train = [(b"a", b"x", 1.0, 0.5), (b"b", b"x", 2.0, 1.0), (b"a", b"y", 3.0, 1.0)]
    written_examples.write(tmp_path, train, [(b"c", b"x", 4.0, 1.0)], per_shard=2)
    files = sorted((tmp_path / "Split-train").iterdir())
    table = pyarrow.parquet.read_table(files)
    assert [tuple(value for (value,) in row.values()) for row in table.to_pylist()] == train
    metadata = pyarrow.parquet.ParquetFile(files[0]).metadata.row_group(0)
    columns = {metadata.column(at).path_in_schema: metadata.column(at) for at in range(metadata.num_columns)}
    assert "RLE_DICTIONARY" in columns["left_id.list.element"].encodings


def test_weights_and_scores_are_optional(tmp_path: Path) -> None:
    examples = written_examples.write(tmp_path, [(b"a", b"x")])
    assert examples.rows("train").score is None and examples.rows("train").weight is None
    assert len(examples.rows("eval")) == 0


def test_examples_of_an_older_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Split-train").mkdir()
    with pytest.raises(NoColumns, match=r"older version.*Run again") as refused:
        Examples(str(tmp_path))
    assert isinstance(refused.value, KindredError)  # a sentence, not a traceback


def test_artifact_is_found_by_the_files_of_a_split() -> None:
    assert of_split("/root/examples/3/Split-train/*") == "/root/examples/3"


def test_blocks_are_mapped_not_copied(tmp_path: Path) -> None:
    examples = written_examples.write(tmp_path, [(b"a", b"x", float(i)) for i in range(10)], per_shard=4)
    blocks = list(examples.blocks("train"))
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert not any(block.left.flags.owndata for block in blocks)
    np.testing.assert_array_equal(np.concatenate([block.score for block in blocks]), np.arange(10))


def test_long_ids_make_smaller_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(b"%d" % i * 500, b"x", float(i)) for i in range(20)]
    monkeypatch.setattr(shards, "_SHARD_BYTES", 1)
    examples, work = str(tmp_path), str(tmp_path / "work")
    for path in shards.folders(examples, work):
        Path(path).mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(zip(("left_id", "right_id", "score"), zip(*rows, strict=True), strict=True)))
    with shards.ShardWriter(examples, "c", work) as writer:
        for start in range(0, 20, 5):
            writer.write(table[start : start + 5], np.zeros(5, bool))
    assert writer.shards == ["c-00000", "c-00001", "c-00002", "c-00003"]
    assert writer.rows["train"] == 20
