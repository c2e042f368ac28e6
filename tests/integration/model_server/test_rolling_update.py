"""A rolling update as deploy/ asks for it: no request fails while another server takes over.

A switch stands for a service of Kubernetes: new connections go to the pod that is ready, and those that exist stay
where they are. The old server gets SIGTERM when no new connections reach it.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.model_server import running

_BODY = b'{"instances": [1.0]}'
_CLIENTS = 4
_ANSWERS = 200


class Switch:
    """Passes each new connection on to the server that is chosen then."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=[one, other], daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Clients:
    """Threads that ask without a pause until the block ends.

    Attributes:
      answers: how many answers were right.
      failures: what else came.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers, self.failures = 0, list[str]()
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=[n % 2 == 0]) for n in range(_CLIENTS)]

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def wait_for_answers(self, count: int = _ANSWERS) -> None:
        """Waits for further answers."""
        wanted = self.answers + count
        _wait(lambda: self.answers >= wanted or bool(self.failures))

    def _ask(self, keeps: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.is_set():
            result = self._answer(connection)
            if result == "closed" and keeps:  # while it was idle, so all HTTP clients ask again
                connection.close()
                result = self._answer(connection)
            with self._lock:
                if result == "right":
                    self.answers += 1
                else:
                    self.failures.append(result)
            if not keeps or result != "right":
                connection.close()

    def _answer(self, connection: http.client.HTTPConnection) -> str:
        try:
            connection.request("POST", "/v1/models/half:predict", _BODY)
            response = connection.getresponse()
            content = response.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            return "closed"
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        is_right = response.status == 200 and b"3.5" in content
        return "right" if is_right else f"{response.status} {content!r}"


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def flags(model_folder: Path) -> list[str]:
    return [f"--model_base_path={model_folder / 'half'}", "--model_name=half", "--drain_seconds=40"]


def test_no_request_fails_during_a_rolling_update(flags: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        first, old = stack.enter_context(running.process(running.OURS, *flags))
        first.wait("half", 2, "AVAILABLE")
        switch = Switch(first.rest_port)
        stack.callback(switch.close)
        clients = Clients(switch.port)
        stack.enter_context(clients.asking())
        clients.wait_for_answers()

        second, new = stack.enter_context(running.process(running.OURS, *flags))
        _wait(lambda: second.ask("GET", "/v1/models/half/metadata")[0] == 200)  # as the probe of the manifests
        switch.target = second.rest_port
        clients.wait_for_answers()
        old.send_signal(signal.SIGTERM)
        assert old.wait(60) == 0
        clients.wait_for_answers()
        assert (clients.failures, clients.answers >= 3 * _ANSWERS) == ([], True)

        new.kill()
        _wait(lambda: bool(clients.failures))
