"""The worker pool over gRPC: workers that start, workers that fail, and equal worker ids."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2

from pipeline.beam.pool import WorkerPool, serve

pytestmark = pytest.mark.tensorflow

# Forks workers that only sleep.
STARTS = """
import os, sys, time
answers = os.fdopen(int(sys.argv[1]), "w", buffering=1)
print("ready", file=answers)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        time.sleep(60)
    print(pid, file=answers)
"""


def asks(port: int) -> beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub:
    """A task manager with its own connection."""
    channel = grpc.insecure_channel(f"localhost:{port}", [("grpc.use_local_subchannel_pool", 1)])
    return beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)


def start(worker: str) -> beam_fn_api_pb2.StartWorkerRequest:
    control = endpoints_pb2.ApiServiceDescriptor(url="localhost:1")
    return beam_fn_api_pb2.StartWorkerRequest(worker_id=worker, control_endpoint=control)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr("pipeline.beam.pool._WORKER", STARTS)
    pool = WorkerPool(start_seconds=20)
    server, port = serve("localhost", 0, pool)
    yield port
    server.stop(0)
    pool.stop_all()


def workers() -> set[int]:
    (template,) = [child for child in psutil.Process().children() if "answers" in " ".join(child.cmdline())]
    return {child.pid for child in template.children() if child.status() != psutil.STATUS_ZOMBIE}


def test_equal_ids_of_two_task_managers(port: int) -> None:
    one, other = asks(port), asks(port)
    assert one.StartWorker(start("1-1")).error == ""
    first = workers()
    assert other.StartWorker(start("1-1")).error == ""
    (second,) = workers() - first
    one.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"))
    assert workers() == {second}, "the other worker continued"
    other.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="1-1"))
    assert workers() == set()


def test_stopping_unknown_worker_succeeds(port: int) -> None:
    asks(port).StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="9-9"))


def test_import_failure_is_returned(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.beam.pool._WORKER", "import no_such_module_of_ours")
    error = asks(port).StartWorker(start("1-1")).error
    assert error == "a Beam worker could not start: ModuleNotFoundError: No module named 'no_such_module_of_ours'"


def test_silent_worker_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.beam.pool._WORKER", "import time; print('loading', flush=True); time.sleep(60)")
    pool, since = WorkerPool(start_seconds=1.5), time.monotonic()
    server, port = serve("localhost", 0, pool)
    try:
        error = asks(port).StartWorker(start("1-1")).error
    finally:
        server.stop(0)
    assert error == "a Beam worker could not start: it was not ready after 1.5 s: loading"
    assert time.monotonic() - since < 15


def test_fixed_worker_starts_in_same_pool(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.beam.pool._WORKER", "raise SystemExit('not today')")
    assert asks(port).StartWorker(start("1-1")).error == "a Beam worker could not start: not today"
    monkeypatch.setattr("pipeline.beam.pool._WORKER", STARTS)
    assert asks(port).StartWorker(start("1-1")).error == ""
    assert len(workers()) == 1


def test_lost_template_restarts(port: int) -> None:
    assert asks(port).StartWorker(start("1-1")).error == ""
    (first,) = workers()
    (template,) = [child for child in psutil.Process().children() if "answers" in " ".join(child.cmdline())]
    template.kill()
    template.wait()
    assert psutil.Process(first).is_running()
    assert asks(port).StartWorker(start("1-2")).error == ""
    assert len(workers()) == 1 and first not in workers()


def test_missing_python_fails_immediately(tmp_path: Path) -> None:
    pool = WorkerPool(python=str(tmp_path / "python"))
    server, port = serve("localhost", 0, pool)
    try:
        error = asks(port).StartWorker(start("1-1")).error
    finally:
        server.stop(0)
    assert "cannot be run" in error and str(tmp_path / "python") in error
