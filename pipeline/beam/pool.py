"""A pool of Beam's Python workers that reports startup failures: `python -m pipeline.beam.pool --port 50000`.

Beam's own pool starts the first `python` on PATH and reports success immediately. If that worker then fails to import
its modules, the engine waits forever. This pool forks workers from a process that has imported the components
(`pipeline.beam.worker`). If the imports fail, the pool returns the error, which becomes the reason of the job failure.

Each task manager numbers its workers independently, so two task managers that share a pool use the same ids. The pool
therefore identifies a worker by its id and the connection of its task manager. Beam's own pool uses only the id, and
stops the wrong worker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import psutil
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

START_SECONDS = 50.0
"""Limit for the imports. It is less than the minute within which a run must fail."""

_STOP_SECONDS = 10.0
_SAID_BYTES = 4096
_WORKER = "from compat.process import prepare; prepare(); import pipeline.beam.worker as worker; worker.main()"


class CannotStart(Exception):
    """There is no process to fork workers from. The message contains its output."""


class Template:
    """The process that forks the workers. Starts on first use, and again after it has ended."""

    def __init__(self, python: str, folder: Path, start_seconds: float) -> None:
        self._python = python
        self._said = folder / "template.log"
        self._seconds = start_seconds
        self._process: subprocess.Popen[str] | None = None
        self._answers = -1

    def fork(self, worker_id: str, control: str, log: Path) -> psutil.Process:
        """Forks a new worker.

        Raises:
          CannotStart: the imports fail, or take too long.
        """
        process = self.prepare()
        assert process.stdin
        try:
            process.stdin.write(json.dumps({"id": worker_id, "control": control, "log": str(log)}) + "\n")
            process.stdin.flush()
            return psutil.Process(int(self._answer()))
        except (OSError, ValueError, psutil.NoSuchProcess) as error:
            raise CannotStart(_last_words(self._said) or str(error)) from None

    def prepare(self) -> subprocess.Popen[str]:
        """Returns the process after it has imported everything.

        Raises:
          CannotStart: the imports fail, or take too long.
        """
        if self._process is None or self._process.poll() is not None:
            return self._start()
        return self._process

    def stop(self) -> None:
        """Stops the process. Its workers continue."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        os.close(self._answers)
        self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self.stop()
        self._answers, theirs = os.pipe()
        try:
            with self._said.open("w") as said:
                self._process = subprocess.Popen(
                    [self._python, "-c", _WORKER, str(theirs)], stdin=subprocess.PIPE, stdout=said,
                    stderr=subprocess.STDOUT, pass_fds=(theirs,), text=True,
                )  # fmt: skip
        except OSError as error:
            os.close(self._answers)
            raise CannotStart(f"{self._python} cannot be run: {error}") from None
        finally:
            os.close(theirs)
        try:
            if self._answer() == "ready":
                return self._process
            words = _last_words(self._said) or "it printed nothing"
        except TimeoutError:
            words = f"it was not ready after {self._seconds:g} s: {_last_words(self._said)}"
        self.stop()
        raise CannotStart(words)

    def _answer(self) -> str:
        """Returns the next line, or an empty string if the process has ended."""
        line, deadline = b"", time.monotonic() + self._seconds
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise TimeoutError
            more = os.read(self._answers, 1)
            if not more:
                break
            line += more
        return line.decode().strip()


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and stops workers for task managers. Each worker is a process."""

    def __init__(self, python: str = sys.executable, start_seconds: float = START_SECONDS) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kindred-workers-")
        self._template = Template(python, Path(self._folder.name), start_seconds)
        self._lock = threading.Lock()
        self._started = 0
        self._workers: dict[tuple[str, str], tuple[psutil.Process, Path]] = {}

    def StartWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Answers when the worker has started. `error` holds the reason of a failure."""
        with self._lock:
            self._started += 1
            log = Path(self._folder.name, f"worker-{self._started}.log")
            try:
                worker = self._template.fork(request.worker_id, request.control_endpoint.url, log)
            except CannotStart as error:
                logging.error("%s: %s", request.worker_id, error)
                return beam_fn_api_pb2.StartWorkerResponse(error=f"a Beam worker could not start: {error}")
            self._forget_ended()
            self._workers[context.peer(), request.worker_id] = (worker, log)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Stops a worker. An unknown worker ends by itself when its task manager closes the connection."""
        with self._lock:
            worker = self._workers.pop((context.peer(), request.worker_id), None)
        if worker is not None:
            _end(*worker)
        return beam_fn_api_pb2.StopWorkerResponse()

    def prepare(self) -> None:
        """Imports the modules before the first worker needs them. A later worker request reports any error."""
        with self._lock, contextlib.suppress(CannotStart):
            self._template.prepare()

    def stop_all(self) -> None:
        """Stops every worker."""
        with self._lock:
            self._template.stop()
            for worker, log in self._workers.values():
                _end(worker, log)
            self._workers.clear()
        self._folder.cleanup()

    def _forget_ended(self) -> None:
        """Forgets ended workers. A worker ends by itself when its task manager is gone."""
        for key, (worker, log) in list(self._workers.items()):
            if not worker.is_running():
                _end(worker, log)
                del self._workers[key]


def _end(worker: psutil.Process, log: Path) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.terminate()
        try:
            worker.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            worker.kill()
    log.unlink(missing_ok=True)


def _last_words(log: Path) -> str:
    """Returns the last line of a log."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in log.read_bytes()[-_SAID_BYTES:].decode(errors="replace").splitlines()]
        return next(filter(None, reversed(lines)), "")
    return ""


def serve(host: str, port: int, pool: WorkerPool) -> tuple[grpc.Server, int]:
    """Starts a server.

    Returns:
      The server and its port.

    Raises:
      RuntimeError: the port is in use.
    """
    # Idle task managers ping more often than gRPC servers allow by default.
    options = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=options)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, bound


def main() -> None:
    """Serves until the process is stopped."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.beam.pool", description=str(__doc__).splitlines()[0])
    parser.add_argument("--host", default="localhost", help="address to listen on (default: localhost)")
    parser.add_argument("--port", type=int, default=50000)
    arguments = parser.parse_args()
    # Same as for tasks: another user of the group must be able to move and remove the files of a worker.
    os.umask(0o002)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pool, stopped = WorkerPool(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server, port = serve(arguments.host, arguments.port, pool)
    logging.info("Listening for task managers at %s:%d", arguments.host, port)
    pool.prepare()
    stopped.wait()
    server.stop(grace=1)
    pool.stop_all()


if __name__ == "__main__":
    main()
