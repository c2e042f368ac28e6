"""A model server in its own process, for benchmarks."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NAME = "bench"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[int, int, int]]:
    """Starts a server of `folder`/models. Yields its REST port, gRPC port and process once it serves the version."""
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }", encoding="utf-8")
    rest_port, grpc_port = free_port(), free_port()
    command = [str(Path(sys.executable).with_name("kindred-model-server")), f"--model_name={NAME}"]
    command += [f"--model_base_path={folder}/models", f"--monitoring_config_file={folder}/monitoring.config"]
    command += [f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            while not _ready(rest_port):
                if server.poll() is not None:
                    sys.exit((folder / "log").read_text(encoding="utf-8")[-4000:])
                time.sleep(0.1)
            yield rest_port, grpc_port, server.pid
        finally:
            server.terminate()


def free_port() -> int:
    """Returns a port of this machine that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        return Rest(port).get(f"/v1/models/{NAME}/metadata")[0] == 200
    except OSError:
        return False


class Rest:
    """A client with one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str) -> tuple[int, bytes]:
        """Returns status and content."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def post(self, body: bytes) -> bytes:
        """Returns the answer to a predict request. Ends the process if it is refused."""
        self._connection.request("POST", f"/v1/models/{NAME}:predict", body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            sys.exit(content.decode())
        return content


def tensorflow_time(port: int) -> tuple[float, float]:
    """Returns the total microseconds in TensorFlow and the number of runs."""
    page = Rest(port).get("/monitoring/prometheus/metrics")[1].decode()
    lines = [line for line in page.splitlines() if line.startswith(":tensorflow:serving:runtime_latency")]

    def total(what: str) -> float:
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f"_{what}{{" in line)

    return total("sum"), total("count")
