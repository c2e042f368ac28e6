"""Center and scale, recovered from a transform graph."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, example, given
from hypothesis import strategies as st

from trainer.export.unit import Unit, unit_of

pytestmark = pytest.mark.tensorflow


class _Graph:
    """Computes labels like Transform, in its precision: float64 inside, float32 for inputs and outputs."""

    def __init__(self, center: float, scale: float) -> None:
        self._center, self._scale = center, scale

    def raw_feature_spec(self) -> dict[str, None]:
        return dict.fromkeys(("left_id", "right_id", "score"))

    def transform_features_layer(self) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
        def layer(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            score = tf.cast(inputs["score"], tf.float64)
            return {"label": tf.cast((score - self._center) / self._scale, tf.float32)}

        return layer


@given(
    st.floats(-1e6, 1e6) | st.floats(-1e30, 1e30) | st.just(0.0),
    st.floats(-30, 30).map(lambda power: 10.0**power) | st.just(1.0),
)
@example(0.0, 1.0)
@example(1e6, 0.25)
@example(3.5, 1.1)
@example(1e-20, 1e-21)
@example(1e30, 1e29)
@example(0.0, 1e-38)
def test_unit_is_recovered_from_graph(center: float, scale: float) -> None:
    # Scores are float32, so their deviation is at least their spacing, or 0, which counts as 1.
    assume(scale > abs(center) * 1e-7)
    unit = unit_of(_Graph(center, scale))
    assert math.isclose(unit.scale, scale, rel_tol=1e-6)
    # As precise as the float32 label of a zero score.
    assert math.isclose(unit.center, center, rel_tol=1e-6, abs_tol=1e-30)


@given(st.floats(-1e6, 1e6, width=32), st.floats(-3, 3).map(lambda power: 10.0**power) | st.just(1.0))
@example(3.0, 1.1)
@example(np.float32(0.1), 0.3)
def test_center_is_recovered_to_the_bit(center: float, scale: float) -> None:
    """Otherwise a label at the center, such as 3 of 5 stars, would have a sign."""
    assume(scale > abs(center) * 1e-6 and not 0 < abs(center) < 1e-30)
    assert unit_of(_Graph(float(center), scale)).center == center


def test_positives_have_unit_of_model() -> None:
    class Positives(_Graph):
        def raw_feature_spec(self) -> dict[str, None]:
            return dict.fromkeys(("left_id", "right_id"))

    assert unit_of(Positives(3.5, 2.0)) == Unit(0.0, 1.0)


@pytest.mark.parametrize("center", [0.0, 3.53, -7.25, 1e6, 1_234_567.0])
def test_missing_scale_is_exactly_one(center: float) -> None:
    unit = unit_of(_Graph(center, 1.0))
    assert unit.scale == 1.0
    assert unit.center == np.float32(center)
