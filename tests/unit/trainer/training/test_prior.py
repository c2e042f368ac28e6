"""The noise of scores, against predictions of every pair from all others of its entity."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.training.prior import noise_of, pairs_of, prior_of


@pytest.mark.parametrize(("width", "pairs"), [(4, 300), (9, 60)])
def test_noise_predicts_left_out_pairs_best(width: int, pairs: int) -> None:
    """Entities have more pairs than dimensions, and fewer."""
    draw = np.random.default_rng(3)
    design, own = draw.normal(0, 1, (40, width)), draw.integers(0, 12, pairs)
    other, rows = draw.integers(0, 40, pairs), draw.normal(0, 0.5, (12, width))
    target = np.einsum("nd,nd->n", rows[own], design[other]) + draw.normal(0, 0.7, pairs)
    mean, covariance = prior_of(rows)

    def error(noise: float) -> float:
        total = 0.0
        for entity in range(12):
            of = np.flatnonzero(own == entity)
            for left_out in of if len(of) > 1 else ():
                rest = of[of != left_out]
                known = design[other[rest]]
                inverse = np.linalg.inv(known @ covariance @ known.T + noise * np.eye(len(rest)))
                gain = covariance @ known.T @ inverse
                row = mean + gain @ (target[rest] - known @ mean)
                total += float((target[left_out] - design[other[left_out]] @ row) ** 2)
        return total

    candidates = np.var(target) * 2.0 ** np.arange(-8, 5)
    best = candidates[np.argmin([error(noise) for noise in candidates])]
    assert noise_of(mean, covariance, design, own, other, target) == pytest.approx(best)


def test_pairs_of_entities_keep_their_order() -> None:
    own = np.random.default_rng(2).integers(0, 9, 2000).astype(np.int32)
    chosen = np.array([0, 3, 8])
    found = pairs_of(chosen, own)
    assert [pairs.tolist() for pairs in found] == [np.flatnonzero(own == entity)[:200].tolist() for entity in chosen]
    assert pairs_of(chosen[:0], own) == []
