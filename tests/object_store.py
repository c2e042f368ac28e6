"""A real S3 server for tests (moto, in a process of its own), and a proxy that injects faults on the way to it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BUCKET = "planted"
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
# A client in this process finds these, and nothing of the machine.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDFORTESTS0",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-of-tests",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def server_command() -> list[str] | None:
    """Returns how to start moto, or None where it is not installed."""
    if importlib.util.find_spec("moto") is not None:
        return [sys.executable, "-m", "moto.server"]
    found = shutil.which("moto_server")
    return [found] if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def s3_server(*options: str) -> Iterator[str]:
    """Starts an S3 server without data, and yields its URL. Skips the test where no server is installed."""
    command = server_command()
    if command is None:
        pytest.skip("needs an S3 server: pip install 'moto[server,s3]'")
    port = free_port()
    arguments = [*command, "-H", "127.0.0.1", "-p", str(port), *options]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextlib.contextmanager
def versitygw() -> Iterator[str]:
    """Starts versitygw, another S3 server, without data, and yields its URL. Skips the test where it is missing."""
    program = shutil.which("versitygw")
    if program is None:
        pytest.skip("versitygw is not installed")
    port = free_port()
    access = {
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [program, "--port", f"127.0.0.1:{port}", "posix", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | access,
        ) as process,
    ):
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the S3 server did not start (exit code {process.poll()})")


class Bucket:
    """The bucket of a server, read and written by plain requests, apart from the code under test."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint, self.name = endpoint, name
        self.url = f"s3://{name}"
        self._send("PUT", "")

    def put(self, key: str, content: bytes | str) -> None:
        self._send("PUT", key, content.encode() if isinstance(content, str) else content)

    def put_tree(self, folder: Path, key: str) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(f"{key}/{file.relative_to(folder)}", file.read_bytes())

    def get(self, key: str) -> bytes:
        return self._send("GET", key)

    def delete(self, key: str) -> None:
        self._send("DELETE", key)

    def keys(self, prefix: str = "") -> list[str]:
        """Returns all keys, including those of empty objects that stand for folders."""
        answer = self._send("GET", f"?list-type=2&max-keys=1000&prefix={prefix}").decode()
        return sorted(re.findall(r"<Key>(.*?)</Key>", answer))

    def _send(self, method: str, key: str, content: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.endpoint}/{self.name}/{key}", data=content, method=method)
        request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())


Fault = Callable[[bytes, bytes], bytes | None]
"""Gets the head of a request and the whole answer. Returns what the client gets, or None to pass the answer on."""


class FaultyProxy:
    """Passes requests on to a server, and spoils the answers that `fault` chooses.

    Attributes:
      fault: called for each request, from several threads, after the server has acted.
      refuse: returns whether a request gets the answer 403 and does not reach the server.
      requests: first lines of all requests, such as `GET /bucket/key HTTP/1.1`.
    """

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._server = (host, int(port))
        self.fault: Fault = lambda request, answer: None
        self.refuse: Callable[[bytes], bool] = lambda request: False
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def first(self, count: int, of: str, answer: Callable[[bytes], bytes]) -> None:
        """Spoils the first `count` answers to requests whose first line contains `of`."""
        left, lock = [count], threading.Lock()

        def fault(request: bytes, given: bytes) -> bytes | None:
            with lock:
                if of.encode() not in request.split(b"\r\n")[0] or left[0] <= 0:
                    return None
                left[0] -= 1
            return answer(given)

        self.fault = fault

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Serves one request on each connection, so that the client never reuses one."""
        with client, contextlib.suppress(OSError):
            request = _read_request(client)
            if not request:
                return
            self.requests.append(request.split(b"\r\n", 1)[0].decode())
            if self.refuse(request):
                client.sendall(error(403, "AccessDenied")(b""))
                return
            with socket.create_connection(self._server, 30) as server:
                server.sendall(request.replace(b"\r\nConnection: Keep-Alive", b"", 1))
                server.shutdown(socket.SHUT_WR)
                answer = _read_answer(server, request.startswith(b"HEAD"))
            spoiled = self.fault(request, answer)
            client.sendall(
                answer.replace(_HEAD_END, b"\r\nConnection: close" + _HEAD_END, 1) if spoiled is None else spoiled
            )


def error(status: int, code: str) -> Callable[[bytes], bytes]:
    """Returns a fault that answers with an error of S3."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>planted</Message></Error>".encode()
    head = f"HTTP/1.1 {status} Planted\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}"
    return lambda answer: f"{head}\r\nConnection: close".encode() + _HEAD_END + body


def cut(answer: bytes) -> bytes:
    """A fault that closes the connection without an answer."""
    return b""


def truncated(answer: bytes) -> bytes:
    """A fault that closes the connection in the middle of the body."""
    head, _, body = answer.partition(_HEAD_END)
    return head + _HEAD_END + body[: len(body) // 2]


def _read_request(client: socket.socket) -> bytes:
    request = b""
    while _HEAD_END not in request:
        block = client.recv(1 << 16)
        if not block:
            return b""
        request += block
    head, _, body = request.partition(_HEAD_END)
    if b"expect: 100-continue" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue" + _HEAD_END)
        head = re.sub(rb"(?i)\r\nexpect: 100-continue", b"", head)
    length = _LENGTH.search(head)
    parts, missing = [body], (int(length[1]) if length else 0) - len(body)
    while missing > 0:
        parts.append(client.recv(1 << 16))
        missing -= len(parts[-1])
    return head + _HEAD_END + b"".join(parts)


def _read_answer(server: socket.socket, head_only: bool) -> bytes:
    answer = b""
    while block := server.recv(1 << 16):
        answer += block
        head, end, body = answer.partition(_HEAD_END)
        length = _LENGTH.search(head)
        if end and (head_only or (length and len(body) >= int(length[1]))):
            break
    return answer
