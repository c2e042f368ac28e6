"""A serving binary in a process of its own, asked over REST."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

NAME = "candidate"
_LAST_WORDS = 2000


class ServerFailed(Exception):
    """The server did not start, or refused a request; says in its own words why."""


def serving_binary() -> str:
    """TensorFlow Serving where it is on PATH, else Kindred's own server, which is installed beside this Python."""
    return shutil.which("tensorflow_model_server") or str(Path(sys.executable).with_name("kindred-model-server"))


class Server:
    """A server that is up, and serves one model."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """The outputs of a signature by name, columns.

        Raises:
          ServerFailed: the answer is not 200.
        """
        body = json.dumps({"signature_name": signature, "inputs": {k: _encoded(v) for k, v in inputs.items()}})
        status, content = self._ask("POST", f"/v1/models/{NAME}:predict", body.encode())
        if status != 200:
            raise ServerFailed(f"status {status}: {content.get('error', content)}")
        found: dict[str, Any] = content["outputs"] if isinstance(content["outputs"], dict) else {"": content["outputs"]}
        return found

    def signatures(self) -> dict[str, Any] | None:
        """The signatures of the model; None while it does not serve."""
        try:
            status, content = self._ask("GET", f"/v1/models/{NAME}/metadata", None)
        except OSError:
            return None
        if status != 200:
            return None
        found: dict[str, Any] = content["metadata"]["signature_def"]["signature_def"]
        return found

    def failure(self) -> str | None:
        """Why the server has given the model up; None while it has not."""
        try:
            _, content = self._ask("GET", f"/v1/models/{NAME}", None)
        except OSError:
            return None
        ended = [version for version in content.get("model_version_status", []) if version["state"] == "END"]
        return str(ended[0]["status"]["error_message"]) if ended else None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        try:
            self._connection.request(method, path, body)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise OSError(str(error)) from None


def _encoded(value: Any) -> Any:
    """Ids as base64: they are bytes, and not always text."""
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    return {"b64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


@contextlib.contextmanager
def serving(model: str, start_seconds: float) -> Iterator[Server]:
    """A server of the SavedModel `model`, once it serves it.

    Raises:
      ServerFailed: the binary ended, or the model did not become available in time.
    """
    rest_port, grpc_port = _free_port(), _free_port()
    with tempfile.TemporaryDirectory(prefix="kindred-canary-") as folder:
        _link(model, os.path.join(folder, "versions", "1"))
        command = [serving_binary(), f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_name={NAME}"]
        command += [f"--model_base_path={folder}/versions", "--max_num_load_retries=0"]
        with (
            open(os.path.join(folder, "log"), "w+b") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as process,
        ):
            server = Server(rest_port)
            try:
                _wait(server, process, start_seconds, Path(folder, "log"))
                yield server
            finally:
                server.close()
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def _wait(server: Server, process: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while server.signatures() is None:
        why = server.failure()
        if process.poll() is not None:
            why = f"it ended with exit code {process.returncode}"
        elif why is None and time.monotonic() > deadline:
            why = f"it did not serve the model within {seconds:g} s"
        if why is not None:
            said = log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()
            raise ServerFailed(f"{why}\n{said}".strip())
        time.sleep(0.05)


def _link(model: str, version: str) -> None:
    """Makes `model` a version: a link to a local one, a copy of a remote one."""
    os.makedirs(os.path.dirname(version))
    if "://" not in model:
        os.symlink(os.path.abspath(model), version)
        return
    for folder, _, names in tf.io.gfile.walk(model):
        target = os.path.normpath(os.path.join(version, os.path.relpath(folder, model)))
        os.makedirs(target, exist_ok=True)
        for name in names:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(target, name))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
