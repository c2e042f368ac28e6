"""Bodies that are slow, unfinished, compressed or large."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import signal
import socket
import time
import zlib

import pytest

from tests.integration.attacks.victim import MIB, Victim
from tests.integration.model_server import running

PREDICT = "/v1/models/half:predict"
# Without the time, which would be another name of the test in each process.
PACKED = gzip.compress(b'{"instances": [8]}', mtime=0)


def head(length: int, *lines: str) -> bytes:
    return "\r\n".join([f"POST {PREDICT} HTTP/1.1", "Host: x", f"Content-Length: {length}", *lines, "", ""]).encode()


def status_of(connection: socket.socket) -> int:
    """Returns the status of the response, or 0 if the server closed the connection without one."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
        response.read()
    except (ConnectionError, http.client.HTTPException):
        return 0
    return response.status


def test_unfinished_bodies_hold_bounded_memory(victim: Victim) -> None:
    """32 bodies of 30 MiB that miss their last byte: 960 MiB, four times the limit."""
    piece = b" " * MIB
    with victim.attacked(peak=400 * MIB), contextlib.ExitStack() as stack:
        connections = [stack.enter_context(victim.connect()) for _ in range(32)]
        for connection in connections:
            connection.sendall(head(30 * MIB + 1))
        for connection in connections * 30:
            with contextlib.suppress(OSError):  # the server has refused it
                connection.sendall(piece)
        statuses = [status_so_far(connection) for connection in connections]
        assert victim.client.post("half:predict", {"instances": [8]})[0] == 200, "small requests are still answered"
    refused = statuses.count(429) + statuses.count(408)  # 408 if this test was too slow for a second
    assert refused >= 22 and statuses.count(None) >= 4, statuses


def status_so_far(connection: socket.socket) -> int | None:
    """Returns the status of the response, or None if the server still waits for the body."""
    connection.settimeout(0.1)
    try:
        return status_of(connection)
    except TimeoutError:
        return None


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_body_is_inflated(victim: Victim, members: int) -> None:
    body = json.dumps({"instances": [8, 10]}).encode()
    step = len(body) // members + 1
    packed = b"".join(gzip.compress(body[at : at + step]) for at in range(0, len(body), step))
    for encoding in ("gzip", "GZIP", "x-gzip"):
        status, content, _ = victim.client.ask("POST", PREDICT, packed, {"Content-Encoding": encoding})
        assert (status, json.loads(content)) == (200, {"predictions": [7.0, 8.0]})


def test_gzip_bomb_is_refused(victim: Victim) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(packer.compress(b" " * MIB) for _ in range(200)) + packer.flush()
    with victim.attacked(peak=150 * MIB):
        assert victim.client.ask("POST", PREDICT, bomb, {"Content-Encoding": "gzip"})[0] == 413


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"instances": [8]}', "gzip"),
        (PACKED[:-9], "gzip"),
        (PACKED + b"junk", "gzip"),
        (b"", "gzip"),
        (zlib.compress(b'{"instances": [8]}'), "deflate"),
        (PACKED, ""),
    ],
)
def test_damaged_encoding_is_a_client_fault(victim: Victim, body: bytes, encoding: str) -> None:
    assert victim.client.ask("POST", PREDICT, body, {"Content-Encoding": encoding} if encoding else {})[0] == 400


def test_work_stops_when_the_client_is_gone(victim: Victim) -> None:
    """A ranking of many pieces: the slot is free and the processors are idle soon after the client left."""
    ids = [str(i % 200) for i in range(99_000)]
    body = json.dumps({"signature_name": "similar_right", "inputs": {"left_id": ids, "k": 10}}).encode()
    with victim.attacked(peak=900 * MIB, kept=400 * MIB):
        connections = [victim.connect() for _ in range(12)]
        for connection in connections:
            connection.sendall(head(len(body)).replace(b"half", b"ranking") + body)
        time.sleep(0.3)
        for connection in connections:
            connection.close()


def test_slow_body_ends_and_does_not_delay_the_end(victim: Victim, tmp_path) -> None:
    from tests.integration.model_server.saved_models import write_half

    write_half(tmp_path / "1")
    flags = [f"--model_base_path={tmp_path}", "--model_name=half", "--body_timeout_seconds=4"]
    with running.process(running.OURS, *flags) as (client, server):
        client.wait("half", 1, "AVAILABLE")
        slow = socket.create_connection(("127.0.0.1", client.rest_port), timeout=10)
        slow.sendall(head(100) + b"{")
        assert status_of(slow) == 408
        waiting = socket.create_connection(("127.0.0.1", client.rest_port), timeout=10)
        waiting.sendall(head(100) + b"{")
        time.sleep(0.2)
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert status_of(waiting) == 503
    assert time.monotonic() - started < 10
