"""Runs a serving binary in its own process, and calls it over REST."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from components.serving_canary.trained import quick_config

NAME = "candidate"
_OWN_BINARY = "kindred-model-server"
_LAST_WORDS = 2000


class ServerFailed(Exception):
    """The server did not start, or it refused a request. The message is that of the server."""


def serving_binary() -> str:
    """Returns TensorFlow Serving if it is on PATH, else Kindred's model server, installed next to this Python."""
    return shutil.which("tensorflow_model_server") or str(Path(sys.executable).with_name(_OWN_BINARY))


class Server:
    """A REST client of a running server of one model.

    Args:
      port: port of the REST API on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def predict(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the outputs of a signature by name. A single output has the name "".

        Args:
          signature: name of the signature.
          inputs: columns by name of the input. Ids are bytes.

        Raises:
          ServerFailed: the status is not 200.
          OSError: the connection failed.
        """
        body = json.dumps({"signature_name": signature, "inputs": {k: _encoded(v) for k, v in inputs.items()}})
        status, content = self._request("POST", f"/v1/models/{NAME}:predict", body.encode())
        if status != 200:
            raise ServerFailed(f"status {status}: {content.get('error', content)}")
        found: dict[str, Any] = content["outputs"] if isinstance(content["outputs"], dict) else {"": content["outputs"]}
        return found

    def signatures(self) -> dict[str, Any] | None:
        """Returns the signature definitions by name, or None while the model is not served."""
        try:
            status, content = self._request("GET", f"/v1/models/{NAME}/metadata", None)
        except OSError:
            return None
        if status != 200:
            return None
        found: dict[str, Any] = content["metadata"]["signature_def"]["signature_def"]
        return found

    def failure(self) -> str | None:
        """Returns why the server stopped loading the model, or None if it did not stop."""
        try:
            _, content = self._request("GET", f"/v1/models/{NAME}", None)
        except OSError:
            return None
        ended = [version for version in content.get("model_version_status", []) if version["state"] == "END"]
        return str(ended[0]["status"]["error_message"]) if ended else None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, Any]:
        try:
            self._connection.request(method, path, body)
            reply = self._connection.getresponse()
            return reply.status, json.loads(reply.read())
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise OSError(str(error)) from None


def _encoded(value: Any) -> Any:
    """Encodes ids as base64, because ids are bytes and not always text."""
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    return {"b64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


class _Process:
    """A process of the serving binary. It polls an empty model directory until `give` adds a model.

    Raises:
      ServerFailed: the binary does not exist or is not executable.
    """

    def __init__(self) -> None:
        if shutil.which(serving_binary()) is None:
            raise ServerFailed(f"{serving_binary()} does not exist or is not executable")
        self.model: str | None = None
        self._folder = tempfile.mkdtemp(prefix="kindred-canary-")
        self._versions = os.path.join(self._folder, "versions")
        os.mkdir(self._versions)
        self.rest_port, grpc_port = _free_port(), _free_port()
        command = [serving_binary(), f"--port={grpc_port}", f"--rest_api_port={self.rest_port}"]
        command += [f"--model_name={NAME}", f"--model_base_path={self._versions}", "--max_num_load_retries=0"]
        if os.path.basename(command[0]) == _OWN_BINARY:
            command.append("--file_system_poll_wait_seconds=0.1")  # TensorFlow Serving's flag takes whole seconds
            session = os.path.join(self._folder, "session_config")
            Path(session).write_text(text_format.MessageToString(quick_config()))
            command.append(f"--tensorflow_session_config_file={session}")
        with open(os.path.join(self._folder, "log"), "wb") as log:
            self._process = subprocess.Popen([*_tie(), *command], stdout=log, stderr=log)

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of the log."""
        return Path(self._folder, "log").read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()

    def give(self, model: str) -> None:
        """Adds `model` to the model directory with one rename: as a link if it is local, as a copy if it is remote."""
        self.model = model
        staged = os.path.join(self._folder, "staged")
        if "://" in model:
            _copy(model, staged)
        else:
            os.symlink(os.path.abspath(model), staged)
        os.rename(staged, os.path.join(self._versions, "1"))

    def stop(self) -> None:
        """Kills the process, which has no other clients, and removes its directory."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


# A process that `started_ahead` started and `serving` has not used yet.
_ahead: list[_Process] = []


@contextlib.contextmanager
def started_ahead() -> Iterator[Callable[[str], None]]:
    """Starts a server now for the next call of `serving` in this process, because a start takes seconds.

    Pass the model path to the yielded callback once it is known, so that the server loads the model early. Starts
    nothing if the server could outlive a killed run, or cannot start. In that case, `serving` starts it and reports
    errors.
    """
    with contextlib.suppress(ServerFailed, OSError):
        if _tie() and not _ahead:
            _ahead.append(_Process())
    try:
        yield _give_ahead
    finally:
        while _ahead:
            _ahead.pop().stop()


def _give_ahead(model: str) -> None:
    if not _ahead:
        return
    try:
        _ahead[0].give(model)
    except OSError:  # `serving` meets the same error in the canary and reports it.
        _ahead.pop().stop()


@contextlib.contextmanager
def serving(model: str, start_seconds: float) -> Iterator[Server]:
    """Serves the SavedModel `model`, and yields a client when the model is available.

    Args:
      model: directory of the SavedModel, a path or a URL.
      start_seconds: maximum time until the model is available.

    Raises:
      ServerFailed: the binary ended, or the model did not become available in time.
    """
    process = _taken(model) or _Process()
    server = Server(process.rest_port)
    try:
        if process.model is None:
            process.give(model)
        _wait(server, process, start_seconds)
        yield server
    finally:
        server.close()
        process.stop()


def _taken(model: str) -> _Process | None:
    """Returns the process that was started ahead, if it still runs and has no other model."""
    process = _ahead.pop() if _ahead else None
    if process and (process.exit_code is not None or process.model not in (None, model)):
        process.stop()
        return None
    return process


def _tie() -> list[str]:
    """Returns a command prefix of util-linux that ends a process together with this one, even on SIGKILL.

    Returns an empty list where util-linux is not installed.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def _wait(server: Server, process: _Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while server.signatures() is None:
        why = server.failure()
        if process.exit_code is not None:
            why = f"the server ended with exit code {process.exit_code}"
        elif why is None and time.monotonic() > deadline:
            why = f"the server did not serve the model within {seconds:g} s"
        if why is not None:
            raise ServerFailed(f"{why}\n{process.last_words}".strip())
        time.sleep(0.05)


def _copy(source: str, target: str) -> None:
    for folder, _, names in tf.io.gfile.walk(source):
        copied = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
        os.makedirs(copied, exist_ok=True)
        for name in names:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(copied, name))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
