"""The trained model of the canary answers as the loaded SavedModel does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.serving_canary.trained import Trained
from tests.unit.trainer.planted_model import LEFT, RIGHT, Planted
from trainer.export import warmup

pytestmark = pytest.mark.tensorflow


def test_session_answers_as_loaded_functions(planted: Planted) -> None:
    trained, loaded = Trained(str(planted.model)), tf.saved_model.load(str(planted.model)).signatures
    assert trained.inputs == {name: sorted(function.structured_input_signature[1]) for name, function in loaded.items()}
    sent = warmup.requests(LEFT[0], RIGHT[0]) | warmup.unseen_requests(LEFT[0], RIGHT[0])
    assert len(sent.keys() & trained.inputs.keys()) > 8
    for name in sent.keys() & trained.inputs.keys():
        specs = loaded[name].structured_input_signature[1]
        expected = loaded[name](**{key: tf.constant(value, specs[key].dtype) for key, value in sent[name].items()})
        answer = trained.predict(name, sent[name])
        assert answer.keys() == expected.keys()
        for output, values in expected.items():
            if values.dtype == tf.float32:
                np.testing.assert_allclose(answer[output], values.numpy(), rtol=1e-5)
            else:
                np.testing.assert_array_equal(answer[output], values.numpy())


def test_ids_with_zero_bytes_stay_whole(planted: Planted) -> None:
    with_zero = np.array([b"a\x00"], object)
    trained = Trained(str(planted.model))
    known = trained.predict("embed_left", {"left_id": [LEFT[0], LEFT[0] + b"\x00"]})["known"]
    assert known.tolist() == [True, False]
    assert trained.predict("embed_left", {"left_id": with_zero})["known"].tolist() == [False]
