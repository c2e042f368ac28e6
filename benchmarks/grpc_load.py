"""A gRPC client that costs little: many connections in one process, each of which repeats one call.

    python -m benchmarks.grpc_load PORT METHOD CONNECTIONS SECONDS < BODY

The body is that of a REST request, for Predict. Any other method gets its bytes. grpcio's client would take several
times as long as the server. This one writes HTTP/2 frames without any compression of headers, and reads no more of an
answer than its last frame. Prints what `benchmarks.load` prints.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from typing import Any

import uvloop

from benchmarks.load import measured
from benchmarks.model_server import NAME

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_MOST = 2**31 - 1
# The last headers of a call that succeeded have its status and no message.
_LONGEST_TRAILER = 60


def request(body: dict[str, Any]) -> bytes:
    """Returns the PredictRequest of the body of a REST request."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    made = predict_pb2.PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = NAME, body["signature_name"]
    for name, value in body["inputs"].items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.int32 if name == "k" else tf.string))
    return bytes(made.SerializeToString())


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _headers(port: int, method: str) -> bytes:
    """Returns a header block (RFC 7541): POST and http by index, and literals."""
    pairs = {
        ":path": method,
        ":authority": f"127.0.0.1:{port}",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    literals = (bytes((0, len(name), *name.encode(), len(value), *value.encode())) for name, value in pairs.items())
    return b"\x83\x86" + b"".join(literals)


class _Connection(asyncio.Protocol):
    """Calls again when its call has ended."""

    def __init__(self, headers: bytes, message: bytes, times: list[float]) -> None:
        self._headers, self._message, self._times = headers, b"\0" + struct.pack("!I", len(message)) + message, times
        self._received = b""
        self._stream = -1
        self.failed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        settings = struct.pack("!HIHI", 1, 0, 4, _MOST)  # no table of headers, and a large window
        window = _frame(_WINDOW, 0, 0, struct.pack("!I", _MOST - 65535))
        transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings) + window)
        self._call()

    def _call(self) -> None:
        self._stream += 2
        self._started = time.perf_counter()
        head = _frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
        self._transport.write(head + _frame(_DATA, _END_STREAM, self._stream, self._message))

    def data_received(self, data: bytes) -> None:
        received, at = self._received + data, 0
        while len(received) - at >= 9:
            size = int.from_bytes(received[at : at + 3], "big")
            if len(received) - at < 9 + size:
                break
            self._frame_received(received[at + 3], received[at + 4], received[at + 9 : at + 9 + size])
            at += 9 + size
        self._received = received[at:]

    def _frame_received(self, kind: int, flags: int, payload: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _GOAWAY:
            self.failed += 1
        elif kind == _RESET or (kind == _HEADERS and flags & _END_STREAM):
            self._times.append(time.perf_counter() - self._started)
            self.failed += kind == _RESET or len(payload) > _LONGEST_TRAILER
            self._call()


def main() -> None:
    """Reads the body from standard input, and measures."""
    port, method, connections, seconds = sys.argv[1:]
    body = sys.stdin.buffer.read()
    message = request(json.loads(body)) if method == PREDICT else body
    headers, times = _headers(int(port), method), list[float]()
    load = measured(lambda: _Connection(headers, message, times), int(port), times, int(connections), float(seconds))
    print(json.dumps(uvloop.run(load)))


if __name__ == "__main__":
    main()
