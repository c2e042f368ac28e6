"""A client that costs little: many connections in one process, each of which repeats one HTTP request.

    python -m benchmarks.load PORT PATH CONNECTIONS SECONDS < BODY

Prints an empty line when the measurement begins, one when it ends, and one JSON line: requests, requests per second,
p50 and p99 in milliseconds, and the number of other statuses than 200.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop


class _Connection(asyncio.Protocol):
    """Sends the request again when its response is complete. Responses have a Content-Length."""

    def __init__(self, request: bytes, times: list[float]) -> None:
        self._request, self._times = request, times
        self._received = b""
        self.failed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._received = b""
            self._times.append(time.perf_counter() - self._started)
            self.failed += not head.startswith(b"HTTP/1.1 200")
            self._send()


async def measured(
    connection: Callable[[], Any], port: int, times: list[float], connections: int, seconds: float
) -> dict[str, float]:
    """Opens connections, and measures after a second of warm-up.

    Args:
      connection: makes a protocol that repeats one request. It counts those that `failed`.
      port: of the server.
      times: where the protocols append the seconds of each request.
      connections: their number.
      seconds: of the measurement.

    Returns:
      What `report` returns.
    """
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(connection, "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(1)  # the first requests of a connection are slower
    times.clear()
    print(flush=True)
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed, found = time.perf_counter() - started, list(times)
    print(flush=True)
    failed = sum(protocol.failed for _, protocol in made)
    for transport, _ in made:
        transport.abort()
    return report(found, elapsed, failed)


def report(times: list[float], seconds: float, failed: int) -> dict[str, float]:
    """Returns the figures that a client prints.

    Args:
      times: seconds of each request.
      seconds: of the measurement.
      failed: number of requests with another status.
    """
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return {
        "requests": len(times),
        "per_second": round(len(times) / seconds, 1),
        "p50": round(cuts[49] * 1000, 3),
        "p99": round(cuts[98] * 1000, 3),
        "failed": failed,
    }


def main() -> None:
    """Reads the body from standard input, and measures."""
    port, path, connections, seconds = sys.argv[1:]
    body = sys.stdin.buffer.read()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    request, times = head.encode() + body, list[float]()
    load = measured(lambda: _Connection(request, times), int(port), times, int(connections), float(seconds))
    print(json.dumps(uvloop.run(load)))


if __name__ == "__main__":
    main()
