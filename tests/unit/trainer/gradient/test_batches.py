"""Batches: content, reproducible epochs, distribution of negatives, shares of replicas."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.pairs import Pairs
from trainer.gradient.batches import BatchMaker, NegativeSampler
from trainer.settings import ModelSettings, NegativeSettings

pytestmark = pytest.mark.tensorflow

COUNT = 50
RIGHT_ROWS = 12
PAIRS = Pairs(
    np.arange(COUNT, dtype=np.int32),
    (np.arange(COUNT) % 10 // 2 * 2).astype(np.int32),  # right entities 0, 2, 4, 6, 8
    np.ones(COUNT, np.float32),
)


def _sampler(objective: str, sampling: str = "uniform", count: int = 3) -> NegativeSampler | None:
    settings = ModelSettings(objective=objective, negatives=NegativeSettings(count=count, sampling=sampling))
    return NegativeSampler.of(np.bincount(PAIRS.right, minlength=RIGHT_ROWS), settings)


def _batches(maker: BatchMaker, first: int, end: int, **replicas) -> list[dict[str, np.ndarray]]:
    """Returns the batches of epochs `first` to `end`, without `end`."""
    return list(maker.training(PAIRS, range(first, end), **replicas).as_numpy_iterator())


def _assert_same(first: list[dict[str, np.ndarray]], second: list[dict[str, np.ndarray]]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("objective", ["regression", "pairwise", "softmax", "cosine"])
def test_epoch_is_independent_of_earlier_epochs(objective: str) -> None:
    maker = BatchMaker(16, 7, RIGHT_ROWS, False, _sampler(objective))
    of_all = _batches(maker, 0, 3)
    assert len(of_all) == 12  # 4 batches an epoch
    _assert_same(of_all[8:], _batches(maker, 2, 3))
    assert not np.array_equal(of_all[0]["left"], of_all[4]["left"])
    assert [int(batch["rows"]) for batch in of_all[:4]] == [16, 16, 16, 2]
    other = BatchMaker(16, 8, RIGHT_ROWS, False, _sampler(objective))
    assert not np.array_equal(_batches(other, 0, 1)[0]["left"], of_all[0]["left"])


@pytest.mark.parametrize("objective", ["regression", "logistic", "softmax", "cosine"])
def test_replicas_split_each_batch(objective: str) -> None:
    maker = BatchMaker(16, 7, RIGHT_ROWS, False, _sampler(objective))
    alone = _batches(maker, 0, 1)
    shares = [_batches(maker, 0, 1, replicas=range(r, r + 1), of=2) for r in range(2)]
    both = _batches(maker, 0, 1, replicas=range(2), of=2)
    _assert_same(both[0::2], shares[0])
    _assert_same(both[1::2], shares[1])
    for batch, *parts in zip(alone, *shares, strict=True):
        assert sorted(np.concatenate([part["left"] for part in parts])) == sorted(batch["left"])
        assert {int(part["rows"]) for part in parts} == {int(batch["rows"])}
        if objective in ("softmax", "cosine"):
            np.testing.assert_array_equal(parts[1]["negatives"], batch["negatives"])
        if objective == "logistic":
            np.testing.assert_array_equal(parts[1]["negatives"], batch["negatives"][1::2])


def test_validation_repeats_order_and_negatives() -> None:
    maker = BatchMaker(16, 7, RIGHT_ROWS, False, _sampler("pairwise"))
    dataset = maker.validation(PAIRS)
    first, second = (list(dataset.as_numpy_iterator()) for _ in range(2))
    _assert_same(first, second)
    assert np.concatenate([batch["left"] for batch in first]).tolist() == list(range(COUNT))
    assert int(dataset.cardinality()) == 4


@pytest.mark.parametrize(("sampling", "expected"), [("uniform", [0.25] * 4), ("popularity", [0.4, 0.3, 0.2, 0.1])])
def test_negatives_follow_distribution(sampling: str, expected: list[float]) -> None:
    occurrences = np.array([0, 40, 30, 0, 20, 10, 0])
    settings = ModelSettings(objective="pairwise", negatives=NegativeSettings(count=5, sampling=sampling))
    sampler = NegativeSampler.of(occurrences, settings)
    assert sampler is not None
    drawn = sampler.draw(np.random.default_rng(1), 4000)
    assert drawn.shape == (4000, 5) and drawn.dtype == np.int32
    counts = np.bincount(drawn.ravel(), minlength=7)
    assert counts[[0, 3, 6]].sum() == 0
    # The deviation of a share p of n samples is sqrt(p (1 - p) / n).
    np.testing.assert_allclose(counts[[1, 2, 4, 5]] / drawn.size, expected, atol=4 * (0.25 / drawn.size) ** 0.5)


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_expected_counts_match_batch_average(sampling: str) -> None:
    sampler = _sampler("softmax", sampling, count=6)
    assert sampler is not None
    counts = np.zeros(RIGHT_ROWS)
    for seed in range(2000):
        draw = np.random.default_rng(seed)
        batch = draw.choice(PAIRS.right, 8)
        counts += np.bincount(np.concatenate([batch, sampler.draw(draw, 8)]), minlength=RIGHT_ROWS)
    seen = sampler.candidates
    expected = np.exp(sampler.log_expected_counts(RIGHT_ROWS, 8))[seen]
    np.testing.assert_allclose(counts[seen] / 2000, expected, rtol=0.1)


def test_only_objectives_of_positives_sample_negatives() -> None:
    assert _sampler("regression") is None and _sampler("ials") is None
    assert BatchMaker(16, 7, RIGHT_ROWS, True).validation(PAIRS).element_spec.keys() == {
        "left", "right", "label", "rows", "weight",
    }  # fmt: skip
