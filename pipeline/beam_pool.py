"""A pool of Beam's Python workers that says so when one cannot start: `python -m pipeline.beam_pool --port 50000`.

Beam's own pool starts whatever `python` is on PATH and reports success before the worker has done anything; one that
then fails to import leaves the engine waiting without end. This pool starts the Python that it runs on, waits until the
worker has imported what our components need, and otherwise answers with what the worker said, which the engine takes
for the reason that its job fails.

Task managers number their workers each for itself, so that two of them that share a pool give the same ids: a worker is
known by its id and the connection that asked for it. Beam's own pool knows the id alone, and stops the wrong one.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent import futures
from typing import IO, Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

START_SECONDS = 50.0
"""What a worker may take to start: less than the minute within which a run must fail."""

_STOP_SECONDS = 10.0
_SAID_BYTES = 4096
_WORKER = (
    "import os, sys; ready = int(sys.argv[3]); "
    "import components.examples; "
    "from apache_beam.runners.worker.sdk_worker import SdkHarness; "
    "os.write(ready, b'.'); os.close(ready); "
    "SdkHarness(sys.argv[1], worker_id=sys.argv[2], state_cache_size=0, data_buffer_time_limit_ms=-1).run()"
)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and stops workers as task managers ask for them, each a process of its own."""

    def __init__(self, python: str = sys.executable, start_seconds: float = START_SECONDS) -> None:
        self._python = python
        self._start_seconds = start_seconds
        self._lock = threading.Lock()
        self._workers: dict[tuple[str, str], tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def StartWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Answers when the worker has started; `error` says why it has not."""
        try:
            error = self._start((context.peer(), request.worker_id), request.control_endpoint.url)
        except OSError as fault:
            error = f"{self._python} cannot be run: {fault}"
        if error:
            error = f"a Beam worker could not start: {error}"
            logging.error("%s: %s", request.worker_id, error)
        return beam_fn_api_pb2.StartWorkerResponse(error=error)

    def StopWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Ends a worker; one that is not known ends by itself, when its task manager closes the connection."""
        with self._lock:
            found = self._workers.pop((context.peer(), request.worker_id), None)
        if found is not None:
            _end(*found)
        return beam_fn_api_pb2.StopWorkerResponse()

    def stop_all(self) -> None:
        """Ends every worker."""
        with self._lock:
            left = list(self._workers.values())
            self._workers.clear()
        for worker, said in left:
            _end(worker, said)

    def _start(self, key: tuple[str, str], control: str) -> str:
        """Why the worker has not started; empty if it has."""
        ready, signal_ready = os.pipe()
        said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the worker
        command = [self._python, "-c", _WORKER, control, key[1], str(signal_ready)]
        try:
            worker = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, pass_fds=(signal_ready,)
            )
        except OSError:
            os.close(ready)
            said.close()
            raise
        finally:
            os.close(signal_ready)
        with os.fdopen(ready, "rb", buffering=0) as reader:
            readable, _, _ = select.select([reader], [], [], self._start_seconds)
            started = bool(readable) and reader.read(1) == b"."
        if started:
            self._keep(key, worker, said)
            return ""
        timed_out = not readable
        _stop(worker)
        words = _last_words(said)
        said.close()
        return f"it was not ready after {self._start_seconds:g} s: {words}" if timed_out else words

    def _keep(self, key: tuple[str, str], worker: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        """Notes a worker that has started, and forgets those that have ended by themselves."""
        with self._lock:
            ended = [other for other, (process, _) in self._workers.items() if process.poll() is not None]
            gone = [self._workers.pop(other) for other in ended]
            self._workers[key] = (worker, said)
        for process, words in gone:
            _end(process, words)


def _end(worker: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    _stop(worker)
    if worker.returncode not in (0, -signal.SIGTERM, -signal.SIGKILL):
        logging.warning("a worker ended with code %s: %s", worker.returncode, _last_words(said))
    said.close()


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _last_words(said: IO[bytes]) -> str:
    """The last line that a worker said, and where it said it."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID_BYTES))
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def serve(host: str, port: int, pool: WorkerPool) -> tuple[grpc.Server, int]:
    """A running server, and its port.

    Raises:
      RuntimeError: the port is taken.
    """
    # Task managers ping while nothing happens, more often than gRPC's servers bear by default.
    options = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=options)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, bound


def main() -> None:
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.beam_pool", description=str(__doc__).splitlines()[0])
    parser.add_argument("--host", default="localhost", help="where to listen; localhost")
    parser.add_argument("--port", type=int, default=50000)
    told = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pool, stopped = WorkerPool(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server, port = serve(told.host, told.port, pool)
    logging.info("Listening for task managers at %s:%d", told.host, port)
    stopped.wait()
    server.stop(grace=1)
    pool.stop_all()


if __name__ == "__main__":
    main()
