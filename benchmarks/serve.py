"""Overhead of serving: score and top-10 over REST and gRPC, compared with the same signature in process.

    python -m benchmarks.serve [--entities 10000] [--dimension 64] [--requests 300] [--clients 8]
    python -m benchmarks.serve --approximate [--entities 1000000] [--vectors clustered gaussian]

Exports a model with two sides of `--entities` random rows, and serves it with kindred-model-server in a separate
process. Each round calls once over REST, once over gRPC and once in this process, so that other load on the machine
affects all three. `tensorflow` is the time that the server measures (`runtime_latency`). The ratio is that of top-10 in
process to the matrix product alone. `overhead_ms` is the p50 of REST minus that of the signature in process, for one
score.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import approximate
from benchmarks.model_server import NAME, Rest, served, tensorflow_time
from benchmarks.random_model import publish

_BATCHES = (1, 100)
_K = 10
Call = Callable[[], object]


def main() -> None:
    """Measures. Prints a line per case and one JSON line for all."""
    arguments = _arguments()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if arguments.approximate:
        approximate.main(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "models", "1")
        publish(arguments.entities, arguments.dimension, model)
        with served(Path(folder)) as (rest_port, grpc_port, _):
            cases = _measure(model, rest_port, grpc_port, arguments)
    for case in cases:
        print(json.dumps(case), flush=True)
    score, ranking = (next(c for c in cases if c["ask"] == ask and c["batch"] == 1) for ask in ("score", "top-10"))
    matmul = ranking["matmul_p50"]
    result = {"benchmark": "serve", "ratio": round(ranking["in_process_p50"] / matmul, 2)}
    result |= {"ours": ranking["in_process_p50"], "theirs": matmul, "unit": "ms", "n": arguments.entities}
    result |= {"runs": arguments.requests, "overhead_ms": round(score["rest_p50"] - score["in_process_p50"], 3)}
    print(json.dumps(result | {"cases": cases}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=str(__doc__).splitlines()[0])
    parser.add_argument("--entities", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--requests", type=int, default=300, help="requests of each kind (a tenth for 100 rows)")
    parser.add_argument("--clients", type=int, default=8, help="concurrent clients for requests per second")
    parser.add_argument("--approximate", action="store_true", help="measure approximate rankings instead")
    kinds = ["clustered", "gaussian"]
    parser.add_argument("--vectors", nargs="+", choices=kinds, default=kinds[:1], help="with --approximate: the data")
    return parser.parse_args()


def _measure(model: Path, rest_port: int, grpc_port: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    loaded = tf.saved_model.load(str(model))
    table = tf.Variable(tf.random.normal([arguments.entities, arguments.dimension]))
    alone = tf.function(lambda queries: tf.matmul(queries, table.read_value(), transpose_b=True))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"127.0.0.1:{grpc_port}", [("grpc.max_receive_message_length", -1)])
    )

    def calls(ask: str, batch: int) -> dict[str, Call]:
        """Returns the same request over three paths, and the matrix product that every ranking needs."""
        ids = [b"%d" % (i * 7919 % arguments.entities) for i in range(batch)]
        signature, more = ("score", {"right_id": ids}) if ask == "score" else ("similar_right", {"k": _K})
        inputs: dict[str, Any] = {"left_id": ids, **more}
        text = {k: [i.decode() for i in v] if isinstance(v, list) else v for k, v in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": text}).encode()
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = NAME, signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.int32 if name == "k" else tf.string))
        rest, function = Rest(rest_port), loaded.signatures[signature]
        queries = tf.random.normal([batch, arguments.dimension])
        return {
            "rest": lambda: rest.post(body),
            "grpc": lambda: stub.Predict(request),
            "in_process": lambda: _to_numpy(function(**{k: tf.constant(v) for k, v in inputs.items()})),
            "matmul": lambda: alone(queries).numpy(),
        }

    return [_case(ask, batch, calls, rest_port, arguments) for ask in ("score", "top-10") for batch in _BATCHES]


def _to_numpy(outputs: dict[str, Any]) -> list[Any]:
    return [output.numpy() for output in outputs.values()]


def _case(
    ask: str, batch: int, calls: Callable[[str, int], dict[str, Call]], rest_port: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Returns p50 and p99 in milliseconds of each path, interleaved, and requests per second of many clients."""
    ways = calls(ask, batch)
    if ask == "score":
        del ways["matmul"]
    rounds = max(arguments.requests // (1 if batch == 1 else 10), 10)
    times: dict[str, list[float]] = {way: [] for way in ways}
    before = tensorflow_time(rest_port)
    for number in range(rounds + 3):
        for way, call in ways.items():
            started = time.perf_counter()
            call()
            if number >= 3:
                times[way].append((time.perf_counter() - started) * 1000)
    after = tensorflow_time(rest_port)
    case: dict[str, Any] = {"ask": ask, "batch": batch}
    case["tensorflow_mean"] = round((after[0] - before[0]) / (after[1] - before[1]) / 1000, 3)
    for way, found in times.items():
        case[f"{way}_p50"] = round(statistics.median(found), 3)
        case[f"{way}_p99"] = round(statistics.quantiles(found, n=100)[-1], 3)
    for way in ("rest", "grpc"):
        case[f"{way}_per_second"] = _per_second([calls(ask, batch)[way] for _ in range(arguments.clients)])
    return case


def _per_second(clients: list[Call], seconds: float = 2.0) -> float:
    """Returns the requests per second of `clients` that call continuously."""
    until = time.monotonic() + seconds
    counts = [0] * len(clients)

    def ask(number: int) -> None:
        while time.monotonic() < until:
            clients[number]()
            counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(clients))]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(sum(counts) / (time.monotonic() - started), 1)


if __name__ == "__main__":
    main()
