"""Counts fields without parsing, compared with messages that are built field by field."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, predict_pb2

from serving.model_server.calls import unlimited
from serving.model_server.faults import Fault
from serving.model_server.wire import count_fields, parsed


@given(st.lists(st.lists(st.binary(max_size=200), max_size=9), max_size=9), st.integers(0, 5))
def test_counts_every_string_and_message(strings: list[list[bytes]], dimensions: int) -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "a"})
    expected = 2  # model_spec and its name
    for number, values in enumerate(strings):
        tensor = request.inputs[str(number)]
        tensor.dtype = 7
        tensor.string_val.extend(values)
        for size in range(1, dimensions + 1):
            tensor.tensor_shape.dim.add(size=size)
        # The entry of the map, its key and its value, the type, each string, the shape, each dimension and its size.
        expected += 3 + 1 + len(values) + bool(dimensions) + 2 * dimensions
    assert count_fields(request.SerializeToString(), request.DESCRIPTOR, 10**6) == expected


def test_stops_above_the_limit() -> None:
    body = b"\x0a\x00" * 1000
    assert count_fields(body, classification_pb2.ClassificationRequest.DESCRIPTOR, 10) == 11


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    with contextlib.suppress(IndexError):
        count_fields(body, predict_pb2.PredictRequest.DESCRIPTOR, 100)
    with contextlib.suppress(Fault):
        assert isinstance(parsed(predict_pb2.PredictRequest, body, unlimited()), predict_pb2.PredictRequest)


def test_counted_message_is_parsed() -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "a"})
    request.inputs["x"].tensor_content = bytes(5 << 20)
    assert parsed(predict_pb2.PredictRequest, request.SerializeToString(), unlimited()) == request
    request.inputs["x"].string_val.extend([b"1234"] * (1 << 20))
    with pytest.raises(Fault, match="more than 1,048,576 fields"):
        parsed(predict_pb2.PredictRequest, request.SerializeToString(), unlimited())
