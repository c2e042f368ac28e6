"""Connections that send too much, too little or nothing, and more connections than descriptors."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.attacks.test_bodies import PREDICT, head, status_of
from tests.integration.attacks.victim import MIB, Victim
from tests.integration.model_server import running
from tests.integration.model_server.saved_models import write_half

GET = b"GET /v1/models/half HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server with short times, 60 connections and 300 descriptors."""
    folder = tmp_path_factory.mktemp("half")
    write_half(Path(folder) / "1", 3.0)
    flags = [f"--model_base_path={folder}", "--model_name=half", "--header_timeout_seconds=1", "--max_connections=500"]
    with running.process(running.OURS, *flags, "--idle_timeout_seconds=2", limits=(300, 300)) as (client, process):
        client.wait("half", 1, "AVAILABLE")
        yield Victim(client, process.pid)
        assert process.poll() is None


def ask(connection: socket.socket) -> int:
    connection.sendall(head(18) + b'{"instances": [8]}')
    return status_of(connection)


def test_headers_are_bounded(victim: Victim) -> None:
    """150 MB of headers were accepted."""
    line = b"x: " + b"a" * 1000 + b"\r\n"
    with victim.attacked(peak=60 * MIB), victim.connect() as connection:
        connection.sendall(GET)
        with contextlib.suppress(ConnectionError):
            for _ in range(150_000):
                connection.sendall(line)
        assert status_of(connection) in (431, 0)


@pytest.mark.parametrize("whole", [True, False])
def test_large_head_gets_its_status(victim: Victim, whole: bool) -> None:
    lines = b"".join(b"x%d: %s\r\n" % (i, b"a" * 500) for i in range(140))
    with victim.attacked(), victim.connect() as connection:
        connection.sendall(GET + lines + (b"\r\n" if whole else b""))
        assert status_of(connection) == 431
    with victim.connect() as connection:
        connection.sendall(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of(connection) == 431
    with victim.connect() as connection:
        connection.sendall(GET + lines[:30_000].rpartition(b"\r\n")[0] + b"\r\n\r\n")
        assert status_of(connection) == 200


def test_half_head_and_silence_end(small: Victim) -> None:
    with contextlib.ExitStack() as stack:
        half, silent, used, dripping = (stack.enter_context(small.connect()) for _ in range(4))
        half.sendall(GET)
        used.sendall(GET + b"\r\n")
        assert status_of(used) == 200
        used.sendall(GET)  # a half head on a connection that was used
        with contextlib.suppress(ConnectionError):
            for byte in GET + b"x: y\r\n" * 30:
                dripping.sendall(bytes([byte]))
                time.sleep(0.02)
        assert [status_of(one) for one in (half, silent, used)] == [408, 0, 408]
        assert status_of(dripping) in (408, 0)


def test_idle_connection_ends(small: Victim) -> None:
    with small.connect() as connection:
        assert ask(connection) == 200
        time.sleep(0.5)
        assert ask(connection) == 200, "it is kept for the next request"
        assert connection.recv(1) == b"", "it ends after the idle timeout"


def test_connections_beyond_the_descriptors_give_way(small: Victim) -> None:
    """More silent connections than descriptors: the oldest give way, and every new client gets its answer."""
    descriptors = small.vitals().descriptors
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(small.connect())
        for _ in range(20):
            with small.connect() as connection:
                assert ask(connection) == 200
        assert small.vitals().descriptors < 250
    deadline = time.monotonic() + 10
    while small.vitals().descriptors > descriptors:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert small.client.post("half:predict", {"instances": [8]}) == (200, {"predictions": [7.0]})


def test_active_connections_do_not_give_way(small: Victim) -> None:
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(small.connect()) for _ in range(100)]
        for connection in busy:
            connection.sendall(head(18) + b'{"instances"')
        time.sleep(0.3)
        refused = stack.enter_context(small.connect())
        assert status_of(refused) == 503
        for connection in busy:
            connection.sendall(b": [8]}")
        assert {status_of(connection) for connection in busy} == {200}


def test_response_that_nobody_reads_is_dropped(small: Victim) -> None:
    body = b'{"instances": [' + b"8," * 90_000 + b"8]}"
    without = small.vitals().descriptors
    with small.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head(len(body)) + body)
        assert select.select([connection], [], [], 30)[0], "the response begins"
        deadline = time.monotonic() + 30
        while small.vitals().descriptors > without:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_server_raises_its_limit_of_descriptors() -> None:
    from serving.model_server.connections import ConnectionLimits, within_descriptors

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        found = within_descriptors(ConnectionLimits(max_connections=10**9))
        assert found.max_connections == resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_not_http_is_refused(victim: Victim) -> None:
    with victim.attacked(), victim.connect() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
        assert status_of(connection) == 400
    with victim.connect() as connection:
        connection.sendall(f"GET {PREDICT} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n".encode()
                           + b"Connection: Upgrade\r\n\r\n")  # fmt: skip
        assert status_of(connection) == 400
