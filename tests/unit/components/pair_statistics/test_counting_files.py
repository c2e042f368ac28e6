"""Counts whole files: all rows, or a reproducible random sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.pair_statistics.executor import count_file, read_split, write_split

pytestmark = pytest.mark.tensorflow
ROWS = 4000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rows 0 to 3999: left id i modulo 7, right id i, score i."""
    path = tmp_path_factory.mktemp("counting") / "pairs.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as out:
        for i in range(ROWS):
            example = tf.train.Example()
            example.features.feature["left_id"].bytes_list.value.append(b"l%d" % (i % 7))
            example.features.feature["right_id"].bytes_list.value.append(b"r%d" % i)
            example.features.feature["score"].float_list.value.append(i)
            out.write(example.SerializeToString())
    return str(path)


def test_all_rows_are_counted(file: str) -> None:
    found = count_file(file, 1.0)
    assert found.scores.tolist() == list(range(ROWS))
    assert found.right.num_rows == ROWS
    assert dict(zip(found.left["id"].to_pylist(), found.left["count"].to_pylist(), strict=True)) == {
        b"l%d" % k: len(range(k, ROWS, 7)) for k in range(7)
    }


def test_sample_is_reproducible_share(file: str) -> None:
    sample = count_file(file, 0.25)
    # Five standard deviations of a binomial draw.
    assert abs(sample.rows - ROWS / 4) < 5 * (ROWS * 0.25 * 0.75) ** 0.5
    assert np.array_equal(sample.scores, count_file(file, 0.25).scores)
    # The sample comes from the whole file, not from its beginning.
    assert abs(float(sample.scores.mean()) - ROWS / 2) < ROWS / 20
    assert set(sample.right["id"].to_pylist()) == {b"r%d" % score for score in sample.scores.astype(int)}


def test_split_round_trips(file: str, tmp_path: Path) -> None:
    found = count_file(file, 1.0)
    write_split(found, str(tmp_path), "train")
    again = read_split(str(tmp_path), "train")
    assert again.left.equals(found.left)
    assert np.array_equal(again.scores, found.scores)
    assert (tmp_path / "Split-train" / "FeatureStats.pb").stat().st_size > 0
