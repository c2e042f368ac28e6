"""Bounds the time in which the message of a gRPC call arrives, so that slow clients cannot keep others out."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc

from serving.model_server.giving_way import PATIENCE_SECONDS

log = logging.getLogger("kindred.model_server")

_LOOK_SECONDS = 0.25
# For so long after a message has stalled, others are expected to stall.
_SUSPICION_SECONDS = 10.0

NO_MESSAGE = "the call has no message"


class Cancellable(Protocol):
    """A call that can be ended."""

    def cancel(self) -> None:
        """Ends the call."""
        ...


class Arrivals:
    """Cancels the calls whose message does not arrive.

    A call ends if its message is not complete within `seconds`. If at least half of the places have waited for more
    than a second, the calls that have waited the longest end, until fewer than half wait.

    Args:
      seconds: the time in which a message must arrive.
      places: the number of messages that can arrive at a time.
    """

    def __init__(self, seconds: float, places: int) -> None:
        self._seconds, self._most = seconds, max(places // 2, 1)
        self._waiting: dict[Cancellable, float] = {}
        self._suspicious_until = -math.inf
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, name="arrivals", daemon=True)
        self._thread.start()

    def begin(self, call: Cancellable) -> None:
        """Begins to wait for the message of a call."""
        self._waiting[call] = time.monotonic()

    def end(self, call: Cancellable) -> None:
        """Ends the wait."""
        self._waiting.pop(call, None)

    @property
    def stall(self) -> bool:
        """Whether messages have stalled lately."""
        return time.monotonic() < self._suspicious_until

    def close(self) -> None:
        """Ends the thread that looks for slow messages."""
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            slow = self._slow(time.monotonic())
            for context in slow:
                context.cancel()
            if slow:
                self._suspicious_until = time.monotonic() + _SUSPICION_SECONDS
                log.warning("Cancelled %d calls whose message did not arrive in time", len(slow))

    def _slow(self, now: float) -> list[Cancellable]:
        """Returns the calls to cancel, the oldest first."""
        waiting = sorted(self._waiting.copy().items(), key=lambda item: item[1])
        late = [context for context, since in waiting if now - since > self._seconds]
        patient = [context for context, since in waiting if now - since > PATIENCE_SECONDS]
        return patient[: max(len(late), len(patient) - self._most + 1)]


class ArrivalInterceptor(grpc.ServerInterceptor):
    """Lets the threads of grpcio wait for messages only as long as `Arrivals` permits.

    grpcio starts the thread of a call before its message is here, and waits in it without a bound. A handler of streams
    receives its messages itself, which is the same on the wire, and another thread can cancel its call.

    Args:
      arrivals: bounds the waits.
    """

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Returns a handler that receives the message of a call itself. Calls of streams stay as they are."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._received(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_unary_rpc_method_handler(
            self._received(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _received(self, behavior: Callable[[Any, grpc.ServicerContext], Any]) -> Callable[[Iterator[Any], Any], Any]:
        def behavior_of_stream(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            return behavior(self._receive(messages, context), context)

        return behavior_of_stream

    def _receive(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        self._arrivals.begin(context)
        try:
            return next(messages)
        except StopIteration:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, NO_MESSAGE)
        finally:
            self._arrivals.end(context)
