"""Clients of grpcio in threads, each of which repeats one request.

    python -m benchmarks.grpc_load PORT NAME CLIENTS SECONDS < BODY

The body is that of a REST request. Prints what `benchmarks.load` prints.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from benchmarks.load import report
from benchmarks.model_server import NAME


def _request(body: dict[str, Any]) -> Any:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = NAME, body["signature_name"]
    for name, value in body["inputs"].items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.int32 if name == "k" else tf.string))
    return request


def main() -> None:
    """Measures."""
    port, _, clients, seconds = sys.argv[1:]
    request = _request(json.load(sys.stdin))
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    times: list[float] = []
    ends = threading.Event()

    def ask() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not ends.is_set():
                started = time.perf_counter()
                stub.Predict(request)
                times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask) for _ in range(int(clients))]
    for thread in threads:
        thread.start()
    time.sleep(1)
    times.clear()
    print(flush=True)
    time.sleep(float(seconds))
    found = list(times)
    print(flush=True)
    ends.set()
    for thread in threads:
        thread.join()
    print(json.dumps(report(found, float(seconds), 0)))


if __name__ == "__main__":
    main()
