"""Reads the bodies of REST requests: bounded in size, in time and in their sum, and inflated if they are compressed."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from serving.model_server.buffers import Buffer
from serving.model_server.calls import Call, Calls
from serving.model_server.faults import Code, Fault, HttpFault, invalid

_GZIP = zlib.MAX_WBITS | 16
_INFLATED_AT_A_TIME = 1 << 20
_GAVE_WAY = (
    "the server is at a limit, and the body arrived too slowly (--slow_body_bytes_per_second) or its client sends many "
    "more than others. Try again later"
)

Body = bytes | bytearray | memoryview
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Bodies:
    """Reads bodies on the event loop. `refuse` ends those that are not complete."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._reading: set[asyncio.Task[Body]] = set()
        self._refused = False

    async def read(self, receive: Receive, length: int | None, arrived: bool, call: Call) -> Body:
        """Returns the body as it arrives, still compressed.

        Args:
          receive: returns the next ASGI message of the request.
          length: the Content-Length, or None if the request has none.
          arrived: whether all of the body is here, so that reading it does not wait.
          call: counts the bytes.

        Raises:
          Fault: the body is too large or too slow, the client disconnected, or the server stops.
        """
        if arrived:
            return await _pieces(receive, length, call)
        seconds = call.limits.body_timeout_seconds
        reading = asyncio.ensure_future(_pieces(receive, length, call))
        self._reading.add(reading)
        loop = asyncio.get_running_loop()
        try:
            with self._calls.arriving(call, functools.partial(loop.call_soon_threadsafe, reading.cancel)):
                await asyncio.wait((reading,), timeout=seconds)
            if call.gave_way:
                if reading.done() and not reading.cancelled():
                    reading.exception()  # retrieved, so that asyncio logs nothing
                raise HttpFault(Code.DEADLINE_EXCEEDED, _GAVE_WAY, 408)
            if reading.done() and not reading.cancelled():
                return reading.result()
            if self._refused:
                raise Fault(Code.UNAVAILABLE, "the server is stopping")
            raise HttpFault(
                Code.DEADLINE_EXCEEDED, f"the body was not complete within {seconds:g} s (--body_timeout_seconds)", 408
            )
        finally:
            reading.cancel()
            self._reading.discard(reading)
            del reading  # it holds the fault, whose traceback holds this frame

    def refuse(self) -> None:
        """Ends the requests whose body is not complete, because the server stops. Safe from any thread."""
        self._refused = True
        for reading in list(self._reading):
            reading.get_loop().call_soon_threadsafe(reading.cancel)


async def _pieces(receive: Receive, length: int | None, call: Call) -> Body:
    """Joins the pieces of a body. Refuses it as soon as it exceeds the limit."""
    limit = call.limits.max_body_bytes
    if length is not None and length > limit:
        raise _too_large(limit)
    body = Buffer(limit if length is None else length)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Fault(Code.CANCELLED, "the client disconnected")
        piece, more = message["body"], message["more_body"]
        if len(body) + len(piece) > limit:
            raise _too_large(limit)
        call.hold(len(piece))
        call.progress(len(piece))
        body.append(piece)
    return body.content()


def inflated(body: Body, encoding: str, call: Call) -> Body:
    """Returns the body without its Content-Encoding. TensorFlow Serving inflates what names gzip (evhttp_request.cc).

    Args:
      body: the body as it arrived.
      encoding: the header Content-Encoding, or an empty string.
      call: counts the bytes.

    Raises:
      Fault: the encoding is not supported, the data are damaged, or the inflated body is too large.
    """
    if encoding.strip().lower() in ("", "identity"):
        return body
    if "gzip" not in encoding.lower():
        raise invalid(f"Content-Encoding {encoding!r} is not supported. Send gzip or no encoding")
    whole = Buffer(call.limits.max_body_bytes)
    rest: bytes | Body = body
    try:
        while rest:  # a gzip file can have several members
            member = zlib.decompressobj(_GZIP)
            while not member.eof:
                piece = member.decompress(rest, _INFLATED_AT_A_TIME)
                if not piece and not member.unconsumed_tail and not member.eof:
                    raise invalid("the gzip body ends too early")
                if len(whole) + len(piece) > call.limits.max_body_bytes:
                    raise _too_large(call.limits.max_body_bytes)
                call.hold(len(piece))
                whole.append(piece)
                rest = member.unconsumed_tail
            rest = member.unused_data
    except zlib.error as error:
        raise invalid(f"the body is not gzip, as its Content-Encoding says: {error}") from None
    return whole.content()


def _too_large(limit: int) -> HttpFault:
    return HttpFault(Code.RESOURCE_EXHAUSTED, f"the request body exceeds {limit} bytes (--max_body_bytes)", 413)
