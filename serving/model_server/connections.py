"""HTTP connections with limits: the size and time of a head, idle connections, and their number."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import http
import json
import logging
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("kindred.model_server")

# The extension of an ASGI scope that says that the whole body is here. It has the requests of all connections.
ARRIVED = "kindred.arrived"
# Descriptors for models, gRPC, logs and the accepted connection that is refused.
_RESERVED_DESCRIPTORS = 200


@dataclasses.dataclass(frozen=True)
class ConnectionLimits:
    """The limits of HTTP connections. Times are in seconds."""

    max_connections: int = 1000
    max_header_bytes: int = 64 << 10
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    body_timeout: float = 30.0


def within_descriptors(limits: ConnectionLimits) -> ConnectionLimits:
    """Returns limits under which the process never runs out of descriptors, which would reset new connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    most = max(soft - _RESERVED_DESCRIPTORS, 16) if soft != resource.RLIM_INFINITY else limits.max_connections
    if most < limits.max_connections:
        log.warning("--max_connections is %d, because this process may open %d files", most, soft)
    return dataclasses.replace(limits, max_connections=min(limits.max_connections, most))


def protocol(limits: ConnectionLimits) -> Any:
    """Returns the factory of connections, for the setting `http` of uvicorn."""
    return functools.partial(Connection, limits)


class _Refused(Exception):
    """Ends the parser. The response is already written."""


class Connection(HttpToolsProtocol):
    """A connection that ends if its head is too large or too slow, or if nobody reads its response."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._in_head = self._refused = self._unread = False
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = self.loop.time()

    @property
    def idle(self) -> bool:
        """Whether no request is in progress. A head that is not complete is no request yet."""
        return self._in_head or self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts a connection. If there are too many, the one that has been idle the longest gives way."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections and not self._displace():
            self._refuse(503, f"the limit of {self._limits.max_connections} connections (--max_connections) is reached")
            return
        self._start_timer(self._limits.header_timeout)

    def _displace(self) -> bool:
        idle = [one for one in self.connections if isinstance(one, Connection) and one.idle and one is not self]
        if idle:
            oldest = min(idle, key=lambda one: one.idle_since)
            self.connections.discard(oldest)
            oldest.transport.abort()
        return bool(idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Releases the timers."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses data, and bounds the head that they belong to."""
        if self._refused:
            return
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.max_header_bytes:
                self._refuse_head()
            elif self._timer is None:
                self._start_timer(self._limits.header_timeout)
        elif self._unread and self.cycle.response_complete:
            # The rest of a refused body, which is dropped so that the client can read the response.
            if self._timer is None:
                self._start_timer(self._limits.body_timeout)
        else:
            self._stop_timer()

    def on_message_begin(self) -> None:
        """Starts a head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Ends a head."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.max_header_bytes:
            self._refuse_head()
            raise _Refused
        self._in_head, self._unread = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends a body."""
        self._unread = False
        self.scope.setdefault("extensions", {})[ARRIVED] = {"requests": self.tasks}
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Ends a response. A client that does not read it is disconnected after the idle timeout."""
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._start_timer(self._limits.idle_timeout)

    def timeout_keep_alive_handler(self) -> None:
        """Ends an idle connection, even if its client never read the response."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answers a request that is not HTTP, unless it is already answered."""
        if not self._refused:
            super().send_400_response(msg)

    def _refuse_head(self) -> None:
        self._refuse(431, f"the head exceeds {self._limits.max_header_bytes} bytes (--max_header_bytes)")

    def _refuse(self, status: int, message: str) -> None:
        """Answers and closes the connection."""
        self._refused = True
        content = json.dumps({"error": message}).encode()
        lines = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "connection: close",
            "\r\n",
        )
        self.transport.write("\r\n".join(lines).encode() + content)
        self.transport.close()

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        """Ends a connection without a head, or with one that does not end."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # nobody reads
        elif self._in_head and not self.transport.is_closing():
            seconds = self._limits.header_timeout
            self._refuse(408, f"the head was not complete within {seconds:g} s (--header_timeout_seconds)")
        else:
            self.transport.close()
