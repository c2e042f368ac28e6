"""Answers are the same JSON whether they are written at once or some rows at a time."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serving.model_server import json_responses
from serving.model_server.faults import Fault

_FLOATS = st.floats(width=32) | st.just(float("nan"))


def _plain(array: np.ndarray) -> Any:
    """The oracle: the values as Python objects, text as text."""
    return np.vectorize(lambda value: value.decode() if isinstance(value, bytes) else value, otypes=[object])(
        array
    ).tolist()


def _same(actual: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    if isinstance(expected, float):
        return math.isnan(actual) if math.isnan(expected) else np.float32(actual) == np.float32(expected)
    return actual == expected


@given(
    rows=st.integers(0, 9),
    width=st.integers(0, 4),
    values=st.integers(1, 7),
    as_rows=st.booleans(),
    data=st.data(),
)
def test_pieces_are_the_whole(rows: int, width: int, values: int, as_rows: bool, data: st.DataObject) -> None:
    scores = data.draw(arrays.arrays(np.float32, (rows, width), elements=_FLOATS))
    ids = np.array([b"id %d" % i for i in range(rows * width)], object).reshape(rows, width)
    outputs = {"id": ids, "score": scores, "known": np.arange(rows) % 2 == 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_responses, "_VALUES", values)
        found = json.loads(json_responses.answer(outputs, as_rows))
        alone = json.loads(json_responses.answer({"score": scores}, as_rows))
    columns = {name: _plain(array) if array.size else array.tolist() for name, array in outputs.items()}
    if as_rows:
        found = {"outputs": {name: [row[name] for row in found["predictions"]] for name in outputs}}
        alone = {"outputs": alone["predictions"]}
    assert all(_same(found["outputs"][name], column) for name, column in columns.items())
    assert _same(alone["outputs"], columns["score"])


def test_half_precision_and_scalars() -> None:
    import tensorflow as tf

    half = tf.constant([1.5, float("nan")], tf.bfloat16).numpy()
    assert json_responses.answer({"x": half}, as_rows=False) == b'{"outputs":[1.5, NaN]}'
    assert json_responses.answer({"x": np.array(3, np.int32)}, as_rows=False) == b'{"outputs":3}'
    with pytest.raises(Fault, match="inconsistent batch sizes"):
        json_responses.answer({"x": np.array(3, np.int32)}, as_rows=True)
