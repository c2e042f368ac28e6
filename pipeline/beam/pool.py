"""A pool of Beam's Python workers that says so when one cannot start: `python -m pipeline.beam.pool --port 50000`.

Beam's own pool starts whatever `python` is on PATH and reports success before the worker has done anything; one that
then fails to import leaves the engine waiting without end. This pool forks its workers from a process that has imported
what our components need (`pipeline.beam.worker`); if that cannot be done, it answers with what was said, which the
engine takes for the reason that its job fails.

Task managers number their workers each for itself, so that two of them that share a pool give the same ids: a worker is
known by its id and the connection that asked for it. Beam's own pool knows the id alone, and stops the wrong one.
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
"""What importing may take: less than the minute within which a run must fail."""

_STOP_SECONDS = 10.0
_SAID_BYTES = 4096
_WORKER = "from compat.process import prepare; prepare(); import pipeline.beam.worker as worker; worker.main()"


class CannotStart(Exception):
    """There is no process to fork workers from; the message is what it said."""


class Template:
    """The process that workers are forks of, started when it is first needed, and anew when it has ended."""

    def __init__(self, python: str, folder: Path, start_seconds: float) -> None:
        self._python = python
        self._said = folder / "template.log"
        self._seconds = start_seconds
        self._process: subprocess.Popen[str] | None = None
        self._answers = -1

    def fork(self, worker_id: str, control: str, log: Path) -> psutil.Process:
        """A new worker.

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
        """The process, which has imported everything.

        Raises:
          CannotStart: the imports fail, or take too long.
        """
        if self._process is None or self._process.poll() is not None:
            return self._start()
        return self._process

    def stop(self) -> None:
        """Ends the process; its workers go on."""
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
            words = _last_words(self._said) or "it said nothing"
        except TimeoutError:
            words = f"it was not ready after {self._seconds:g} s: {_last_words(self._said)}"
        self.stop()
        raise CannotStart(words)

    def _answer(self) -> str:
        """The next line; empty where the process has ended."""
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
    """Starts and stops workers as task managers ask for them, each a process of its own."""

    def __init__(self, python: str = sys.executable, start_seconds: float = START_SECONDS) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kindred-workers-")
        self._template = Template(python, Path(self._folder.name), start_seconds)
        self._lock = threading.Lock()
        self._started = 0
        self._workers: dict[tuple[str, str], tuple[psutil.Process, Path]] = {}

    def StartWorker(  # noqa: N802 - Beam's name
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: Any
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Answers when the worker has started; `error` says why it has not."""
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
        """Ends a worker; one that is not known ends by itself, when its task manager closes the connection."""
        with self._lock:
            found = self._workers.pop((context.peer(), request.worker_id), None)
        if found is not None:
            _end(*found)
        return beam_fn_api_pb2.StopWorkerResponse()

    def prepare(self) -> None:
        """Imports now what the first worker would wait for; what is wrong is said when one is asked for."""
        with self._lock, contextlib.suppress(CannotStart):
            self._template.prepare()

    def stop_all(self) -> None:
        """Ends every worker."""
        with self._lock:
            self._template.stop()
            for worker, log in self._workers.values():
                _end(worker, log)
            self._workers.clear()
        self._folder.cleanup()

    def _forget_ended(self) -> None:
        """Workers whose task manager is gone end by themselves."""
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
    """The last line of a log."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in log.read_bytes()[-_SAID_BYTES:].decode(errors="replace").splitlines()]
        return next(filter(None, reversed(lines)), "")
    return ""


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
    parser = argparse.ArgumentParser(prog="python -m pipeline.beam.pool", description=str(__doc__).splitlines()[0])
    parser.add_argument("--host", default="localhost", help="where to listen; localhost")
    parser.add_argument("--port", type=int, default=50000)
    told = parser.parse_args()
    # As tasks: what a worker writes, tasks of another user of the same group move and remove.
    os.umask(0o002)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    pool, stopped = WorkerPool(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server, port = serve(told.host, told.port, pool)
    logging.info("Listening for task managers at %s:%d", told.host, port)
    pool.prepare()
    stopped.wait()
    server.stop(grace=1)
    pool.stop_all()


if __name__ == "__main__":
    main()
