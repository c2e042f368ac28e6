"""ROC curve and confusion matrix against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given

from components.evaluator.classes import classified
from components.evaluator.metrics import Answers, Labels, Outcome
from tests.unit.components.evaluator.test_score_metrics import ROWS, columns, weighted


@given(ROWS)
def test_classes_match_scikit_learn(rows: list) -> None:
    labels, answers, weight = columns(rows)
    labels, kept = weighted(labels, weight), weight > 0
    assume(len(set(labels.positive[kept].tolist())) == 2)
    found = classified(Outcome(labels, answers))
    assert found is not None
    given_rows = {"y_true": labels.positive[kept], "sample_weight": weight[kept]}
    false, true, thresholds = sklearn.metrics.roc_curve(
        y_score=answers.value[kept], drop_intermediate=False, **given_rows
    )
    assert np.array(found["roc"])[:, 1:] == pytest.approx(np.stack([false, true], axis=1))
    assert np.array(found["roc"])[1:, 0] == pytest.approx(thresholds[1:])
    expected = sklearn.metrics.confusion_matrix(y_pred=answers.score[kept] > 0, labels=[False, True], **given_rows)
    assert found["confusion"] == pytest.approx(expected)


def test_long_curve_has_both_ends() -> None:
    rng = np.random.default_rng(1)
    score = rng.normal(size=5000)
    label = score + rng.normal(size=5000)
    found = classified(Outcome(Labels(label, label > 0), Answers(score, score)))
    assert found is not None
    curve = np.array(found["roc"])
    assert len(curve) == 101
    assert curve[[0, -1], 1:].tolist() == [[0, 0], [1, 1]]
    assert np.trapezoid(curve[:, 2], curve[:, 1]) == pytest.approx(
        sklearn.metrics.roc_auc_score(label > 0, score), abs=1e-3
    )


def test_one_class_has_no_curve() -> None:
    ones = np.ones(3)
    assert classified(Outcome(Labels(ones, ones > 0), Answers(ones, ones))) is None
