"""Requests per second of a model server with many clients, and what a request costs it.

    python -m benchmarks.throughput [--entities 10000] [--dimension 64] [--clients 64] [--seconds 4]

Serves a model of two sides of `--entities` random rows, and asks for one score and for the best ten, with one client
and with `--clients`. The clients are `benchmarks.load` and `benchmarks.grpc_load`. Each protocol is also measured with
a server that does nothing but answer: uvicorn without an application, and grpcio's server with a handler that returns
bytes. `server_us` is the processor time of the server per request, in microseconds. `tensorflow_us` is the wall time of
a call of TensorFlow, which answers several requests at a time if they wait.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.grpc_load import PREDICT
from benchmarks.model_server import NAME, Rest, free_port, served, tensorflow_time
from benchmarks.random_model import publish

_PATH = f"/v1/models/{NAME}:predict"
_BODIES = {
    "score": {"signature_name": "score", "inputs": {"left_id": ["7"], "right_id": ["7"]}},
    "top-10": {"signature_name": "similar_right", "inputs": {"left_id": ["7"], "k": 10}},
}


def main() -> None:
    """Measures. Prints a line per case and one JSON line for all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=str(__doc__).splitlines()[0])
    parser.add_argument("--entities", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        publish(arguments.entities, arguments.dimension, Path(folder, "models", "1"))
        with served(Path(folder)) as (rest, grpc, server):
            answers = {ask: Rest(rest).post(json.dumps(body).encode()) for ask, body in _BODIES.items()}
            for ask, clients in ((ask, clients) for ask in _BODIES for clients in (1, arguments.clients)):
                before = tensorflow_time(rest)
                case = _case("rest", rest, server, ask, clients, arguments.seconds)
                total, count = (now - then for now, then in zip(tensorflow_time(rest), before, strict=True))
                case |= {
                    "tensorflow_us": round(total / count, 1),
                    "requests_per_call": round(case["requests"] / count, 1),
                }
                cases += [case, _case("grpc", grpc, server, ask, clients, arguments.seconds)]
                for case in cases[-2:]:
                    print(json.dumps(case), flush=True)
            for kind, row in (("numbers", "[1.5, 2.25, -3]"), ("NaN", "[1.5, NaN, -3]")):
                with _large_bodies(rest, row):
                    beside = _case("rest", rest, server, "score", 1, 2 * arguments.seconds)
                cases.append({"beside": kind, **beside})
                print(json.dumps(cases[-1]), flush=True)
    for protocol in ("rest", "grpc"):
        with _bare(protocol, answers["score"]) as (port, server):
            for clients in (1, arguments.clients):
                ask = "score" if protocol == "rest" else "/bare.Server/Answer"
                cases.append({"bare": True, **_case(protocol, port, server, ask, clients, arguments.seconds)})
                print(json.dumps(cases[-1]), flush=True)
    ours = next(c for c in cases if c["ask"] == "score" and c["protocol"] == "rest" and c["clients"] > 1)
    bare = next(c for c in cases if c.get("bare") and c["protocol"] == "rest" and c["clients"] > 1)
    result = {"benchmark": "throughput", "ratio": round(bare["per_second"] / ours["per_second"], 2)}
    result |= {"ours": ours["per_second"], "theirs": bare["per_second"], "unit": "requests/s", "n": arguments.clients}
    print(json.dumps(result | {"runs": 1, "cases": cases}))


def _case(protocol: str, port: int, server: int, ask: str, clients: int, seconds: float) -> dict[str, Any]:
    method = PREDICT if ask in _BODIES else ask
    module, path = ("benchmarks.load", _PATH) if protocol == "rest" else ("benchmarks.grpc_load", method)
    command = [sys.executable, "-m", module, str(port), path, str(clients), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        load.stdin.write(json.dumps(_BODIES.get(ask, "")))
        load.stdin.close()
        load.stdout.readline()  # the measurement begins
        before = _processor_time(server)
        load.stdout.readline()  # it ends
        used = _processor_time(server) - before
        found = json.loads(load.stdout.readline())
    if found["failed"]:
        sys.exit(f"{found['failed']} requests failed")
    found["server_us"] = round(used / max(found["requests"], 1) * 1e6, 1)
    return {"protocol": protocol, "ask": ask, "clients": clients, **found}


@contextlib.contextmanager
def _large_bodies(port: int, row: str) -> Iterator[None]:
    """Sends bodies of 28 MB with many rows, which the signature ignores, inside the block."""
    rows = ",".join([row] * (28_000_000 // len(row)))
    body = json.dumps(_BODIES["score"]).replace("}}", f', "more": [{rows}]}}}}').encode()
    ends, client = threading.Event(), Rest(port)

    def send() -> None:
        while not ends.is_set():
            client.post(body)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _processor_time(process: int) -> float:
    """Returns the seconds of user and system time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _bare(protocol: str, answer: bytes) -> Iterator[tuple[int, int]]:
    """Starts a server that only answers. Yields its port and process."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare_server", protocol, str(port), answer.decode()]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        time.sleep(2)
        try:
            yield port, server.pid
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
