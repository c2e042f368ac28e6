"""Attacks below the messages of gRPC: compression, streams that are reset, frames that are no call."""

from __future__ import annotations

import contextlib
import socket
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.integration.attacks.victim import MIB, Victim

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_DATA, _HEADERS, _RESET, _SETTINGS = 0, 1, 3, 4
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def headers(**more: str) -> bytes:
    """Returns a block of headers without compression (RFC 7541, 6.2.2)."""
    pairs = {":path": PREDICT, ":authority": "127.0.0.1", "te": "trailers", "content-type": "application/grpc", **more}
    literals = (bytes((0, len(name), *name.encode(), len(value), *value.encode())) for name, value in pairs.items())
    return b"\x83\x86" + b"".join(literals)


def message(flag: int = 0) -> bytes:
    request = predict_pb2.PredictRequest(model_spec={"name": "half"})
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([8.0]))
    content = request.SerializeToString()
    return bytes((flag,)) + len(content).to_bytes(4, "big") + content


def sent(victim: Victim, frames: bytes, wanted: bytes) -> bytes:
    """Sends frames over a new connection. Returns what comes until `wanted` does or the connection ends."""
    with socket.create_connection(("127.0.0.1", victim.client.grpc_port), timeout=20) as connection:
        received = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(_OPENING + frame(_SETTINGS, 0, 0, b"") + frames)
            while wanted not in received and (data := connection.recv(1 << 16)):
                received += data
        return received


def test_message_that_inflates_is_refused(victim: Victim) -> None:
    """Half a gigabyte of zeros is half a megabyte of gzip."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with (
        victim.attacked(peak=200 * MIB),
        grpc.insecure_channel(f"127.0.0.1:{victim.client.grpc_port}", options) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(PREDICT)(bytes(512 * MIB), compression=grpc.Compression.Gzip, timeout=60)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_streams_that_are_reset_leave_nothing(victim: Victim) -> None:
    """CVE-2023-44487: a client opens a stream and resets it at once, a thousand times."""
    block, cancelled = headers(), (8).to_bytes(4, "big")
    begun = b"".join(
        frame(_HEADERS, 4, stream, block) + frame(_RESET, 0, stream, cancelled) for stream in range(1, 2_000, 2)
    )
    with victim.attacked(), socket.create_connection(("127.0.0.1", victim.client.grpc_port), timeout=20) as connection:
        with contextlib.suppress(ConnectionError):  # the server may end such a connection
            connection.sendall(_OPENING + frame(_SETTINGS, 0, 0, b"") + begun)
        wait_until_calls_are_accepted(victim)
        victim.check_answers()


def wait_until_calls_are_accepted(victim: Victim) -> None:
    """The bound of concurrent calls counts calls until the server has noticed their end."""
    request, deadline = predict_pb2.PredictRequest(model_spec={"name": "unknown"}), time.monotonic() + 20
    while True:
        with pytest.raises(grpc.RpcError) as refused:
            victim.client.prediction.Predict(request, timeout=10)
        if refused.value.code() == grpc.StatusCode.NOT_FOUND:
            return
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        (frame(_HEADERS, 4, 1, headers()) + frame(_DATA, 1, 1, message()), b"serving_default"),
        (frame(_HEADERS, 4, 1, headers()) + frame(_DATA, 1, 1, message() * 2), b"serving_default"),
        (frame(_HEADERS, 4, 1, headers()) + frame(_DATA, 1, 1, message()[:-3]), b"no message"),
        (frame(_HEADERS, 4, 1, headers()) + frame(_DATA, 1, 1, b"\0\xff\xff\xff\xff"), b"larger than max"),
        (frame(_HEADERS, 4, 1, headers()) + frame(_DATA, 1, 1, message(1)), b"no encoding"),
        (frame(_HEADERS, 5, 1, headers()), b"no message"),
    ],
    ids=("good", "two messages", "half a message", "4 GiB", "compressed without an encoding", "no message"),
)
def test_frames_of_a_call(victim: Victim, frames: bytes, wanted: bytes) -> None:
    with victim.attacked():
        assert wanted in sent(victim, frames, wanted)


def test_order_of_outputs_costs_nothing(victim: Victim) -> None:
    """TensorFlow prepares each call that it has not seen, which takes a tenth of a second and memory."""
    request = predict_pb2.PredictRequest(model_spec={"name": "types", "signature_name": "two"})
    request.inputs["a"].CopyFrom(tf.make_tensor_proto([1.0]))
    request.inputs["b"].CopyFrom(tf.make_tensor_proto([[2.0, 3.0]]))
    for wanted in (["first", "total"], ["total", "first"]):
        request.output_filter[:] = wanted
        outputs = victim.client.prediction.Predict(request, timeout=10).outputs
        assert (sorted(outputs), list(outputs["total"].float_val)) == (["first", "total"], [6.0])
