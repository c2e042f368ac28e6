"""Blend: the sum of the scores of its two models."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.data.pairs import Pairs
from trainer.least_squares.blend import Blend
from trainer.least_squares.implicit_als import ImplicitAls
from trainer.least_squares.spectral import ENOUGH_SWEEPS, Spectral
from trainer.model.table_sizes import TableSizes
from trainer.settings import AlsSettings, ModelSettings

SIZES = TableSizes(60, 45)
MODEL = ModelSettings(objective="blend", dimension=9)


def _pairs() -> Pairs:
    left, right = np.nonzero(np.random.default_rng(1).random((60, 45)) < np.linspace(0.6, 0.05, 45))
    return Pairs(left.astype(np.int32), right.astype(np.int32), np.ones(len(left), np.float32))


def test_scores_are_the_sum_of_both_models() -> None:
    pairs = _pairs()
    blend = Blend(pairs, SIZES, MODEL, AlsSettings(), 1)
    ials = ImplicitAls(pairs, SIZES, MODEL.replace(dimension=5), AlsSettings(), 1)
    spectral = Spectral(pairs, SIZES, MODEL.replace(dimension=4), AlsSettings(), 1)
    for _ in range(2):
        blend.sweep(), ials.sweep()
    for _ in range(ENOUGH_SWEEPS):
        spectral.sweep()
    whole, one, other = (solver.tables[0] @ solver.tables[1].T for solver in (blend, ials, spectral))
    means = [scores[pairs.left, pairs.right].mean() for scores in (one, other)]
    np.testing.assert_allclose(whole, one + 0.4 * means[0] / means[1] * other, atol=1e-5)


def test_one_dimension_is_that_of_ials() -> None:
    pairs = _pairs()
    blend = Blend(pairs, SIZES, MODEL.replace(dimension=1), AlsSettings(), 1)
    ials = ImplicitAls(pairs, SIZES, MODEL.replace(dimension=1), AlsSettings(), 1)
    assert blend.sweep() == ials.sweep()
    np.testing.assert_array_equal(blend.tables[0], ials.tables[0])


def test_state_determines_the_next_sweep() -> None:
    one, other = (Blend(_pairs(), SIZES, MODEL, AlsSettings(), seed) for seed in (1, 1))
    one.sweep()
    for mine, given in zip(other.state, one.state, strict=True):
        mine[...] = given
    assert other.sweep() == pytest.approx(one.sweep())
    np.testing.assert_array_equal(one.tables[1], other.tables[1])
