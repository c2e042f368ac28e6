"""Describes splits of an artifact: all ids, and all scores or a reproducible random sample of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.pair_statistics import distribution
from components.pair_statistics.executor import SAMPLED_PROPERTY, Executor, read_split, write_split
from tests import written_examples
from trainer.data.examples import Examples

pytestmark = pytest.mark.tensorflow
ROWS = 4000


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Rows 0 to 3999 in seven shards: left id i modulo 7, right id i, score i. One row is in the eval split."""
    rows = [(b"l%d" % (i % 7), b"r%d" % i, float(i)) for i in range(ROWS)]
    return written_examples.write(tmp_path_factory.mktemp("examples"), rows, [(b"l0", b"new", -1.0)], per_shard=600)


def test_all_rows_are_described(examples: Examples) -> None:
    found = distribution.of_split(examples, "train")
    assert found.scores.tolist() == list(range(ROWS))
    assert found.rows == found.right.num_rows == ROWS
    counts = dict(zip(found.left["id"].to_pylist(), found.left["count"].to_pylist(), strict=True))
    assert counts == {b"l%d" % k: len(range(k, ROWS, 7)) for k in range(7)}


def test_a_split_has_its_own_ids_only(examples: Examples) -> None:
    found = distribution.of_split(examples, "eval")
    assert (found.left.to_pylist(), found.right.to_pylist()) == (
        [{"id": b"l0", "count": 1}],
        [{"id": b"new", "count": 1}],
    )
    assert found.scores.tolist() == [-1]


def test_sample_of_scores_is_reproducible_share(examples: Examples) -> None:
    sample = distribution.of_split(examples, "train", 0.25)
    # Five standard deviations of a binomial draw.
    assert abs(len(sample.scores) - ROWS / 4) < 5 * (ROWS * 0.25 * 0.75) ** 0.5
    assert np.array_equal(sample.scores, distribution.of_split(examples, "train", 0.25).scores)
    # The sample comes from all shards, not from the first.
    assert abs(float(sample.scores.mean()) - ROWS / 2) < ROWS / 20
    assert len(np.unique(sample.scores)) == len(sample.scores)
    # No id is left out: ingestion has counted them all.
    assert sample.rows == sample.right.num_rows == ROWS


def test_split_round_trips(examples: Examples, tmp_path: Path) -> None:
    found = distribution.of_split(examples, "train")
    write_split(found, str(tmp_path), "train")
    again = read_split(str(tmp_path), "train")
    assert again.left.equals(found.left)
    assert np.array_equal(again.scores, found.scores)
    assert (tmp_path / "Split-train" / "FeatureStats.pb").stat().st_size > 0


@pytest.mark.parametrize(("most", "fraction"), [(10**6, 1.0), (1000, 1000 / (ROWS + 1))])
def test_executor_describes_every_split(examples: Examples, tmp_path: Path, most: int, fraction: float) -> None:
    given, statistics = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    given.uri, given.split_names, statistics.uri = examples.uri, '["train", "eval"]', str(tmp_path)
    given.set_int_custom_property("rows_train", ROWS)
    given.set_int_custom_property("rows_eval", 1)
    Executor().Do({"examples": [given]}, {"statistics": [statistics]}, {"max_rows": most})
    assert statistics.split_names == '["train", "eval"]'
    assert statistics.get_float_custom_property(SAMPLED_PROPERTY) == pytest.approx(fraction)
    assert read_split(statistics.uri, "train").rows == ROWS
    assert read_split(statistics.uri, "eval").rows == 1
    assert (len(read_split(statistics.uri, "train").scores) == ROWS) is (fraction == 1)
