"""Model servers in a separate process or in this one, and a client for tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

OURS = str(Path(sys.executable).with_name("kindred-model-server"))
# The same tests also run against TensorFlow Serving if it is installed.
BINARIES = [OURS, *filter(None, [shutil.which("tensorflow_model_server")])]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """A REST and gRPC client of a server."""

    def __init__(self, rest_port: int, grpc_port: int) -> None:
        self.rest_port, self.grpc_port = rest_port, grpc_port
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{grpc_port}", [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        )
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def ask(self, method: str, path: str, body: Any = None, headers: dict | None = None) -> tuple[int, bytes, dict]:
        """Returns status, body and headers. Sends `body` as JSON unless it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Returns the status and the parsed JSON."""
        status, content, _ = self.ask("POST", f"/v1/models/{path}", body)
        return status, json.loads(content)

    def get(self, path: str) -> tuple[int, Any]:
        status, content, _ = self.ask("GET", f"/v1/models{path}")
        return status, json.loads(content)

    def states(self, model: str) -> dict[int, tuple[str, str]]:
        """Returns state and error message by version."""
        status, content = self.get(f"/{model}")
        if status != 200:
            return {}
        return {
            int(entry["version"]): (entry["state"], entry["status"]["error_message"])
            for entry in content["model_version_status"]
        }

    def wait(self, model: str, version: int, state: str, timeout: float = 30) -> str:
        """Waits until the version has `state`. Returns its error message."""
        deadline = time.monotonic() + timeout
        while (status := self.states(model).get(version, ("", "")))[0] != state:
            assert time.monotonic() < deadline, (version, state, self.states(model))
            time.sleep(0.02)
        return status[1]

    def close(self) -> None:
        self._channel.close()


@contextlib.contextmanager
def process(
    binary: str, *flags: str, limits: tuple[int, int] | None = None
) -> Iterator[tuple[Client, subprocess.Popen]]:
    """Starts a server in a separate process, and waits until its REST port is open.

    Args:
      binary: the command.
      flags: its flags, without ports.
      limits: the soft and the hard limit of open files.
    """
    rest_port, grpc_port = free_port(), free_port()
    command = [binary, f"--port={grpc_port}", f"--rest_api_port={rest_port}", *flags]
    # A pipe that nobody reads would block the server.
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the server
    server = subprocess.Popen(
        command,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits)) if limits else None,
    )
    client = Client(rest_port, grpc_port)
    try:
        deadline = time.monotonic() + 60
        while not _listens(rest_port):
            assert server.poll() is None, log.seek(0) or log.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield client, server
    finally:
        client.close()
        server.kill()
        server.wait()
        log.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def here(*flags: str) -> Iterator[Client]:
    """Starts a server in this process, which has already imported TensorFlow."""
    from serving.model_server.flags import parse
    from serving.model_server.server import ModelServer

    rest_port, grpc_port = free_port(), free_port()
    server = ModelServer(parse([f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--drain_seconds=5", *flags]))
    server.start()
    client = Client(rest_port, grpc_port)
    try:
        yield client
    finally:
        client.close()
        server.stop()
