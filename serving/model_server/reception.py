"""Receives the messages of gRPC calls, and answers the small requests that wait at the same time together.

All of it runs on the thread that reads the events of gRPC (`compat.grpcio`), because a change between threads takes as
long as a small request. Other requests are computed in the threads of the pool.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

import grpc
from tensorflow_serving.apis import predict_pb2

from compat.grpcio import UnaryCall
from serving.model_server import together
from serving.model_server.access import Tokens, token_of
from serving.model_server.arrivals import NO_MESSAGE, Arrivals
from serving.model_server.calls import Call
from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.giving_way import Waiting, to_give_way
from serving.model_server.rpc import PREDICT, Answer, PredictionService, serialized, status_of
from serving.model_server.servable import Servable
from serving.model_server.service import Service
from serving.model_server.tensor_checks import decode
from serving.model_server.tensors import Array
from serving.model_server.wire import parsed

_GAVE_WAY = "the server is at a limit, and the message did not arrive. Try again later"


class Reception:
    """Receives a bounded number of messages at a time (`compat.grpcio.Receiver`).

    A message takes a place from its beginning until it is answered. That of a small request leaves it once it is here.

    Args:
      service: the shared part of the server.
      predictions: writes the responses of small requests.
      answers: the methods by path.
      pool: runs them.
      places: the number of messages.
      arrivals: bounds the time of each.
      tokens: of those who may call, or None.
    """

    def __init__(
        self,
        service: Service,
        predictions: PredictionService,
        answers: Mapping[str, Answer],
        pool: Executor,
        places: int,
        arrivals: Arrivals,
        tokens: Tokens | None,
    ) -> None:
        self.methods = {path.encode(): answer for path, answer in answers.items()}
        self._service, self._predictions, self._pool = service, predictions, pool
        self._arrivals, self._tokens, self._places = arrivals, tokens, places
        self._lock = threading.Lock()
        # With the time at which each began to wait for its message, or None if the message is here.
        self._inside: dict[UnaryCall, float | None] = {}
        self._outside: dict[UnaryCall, float] = {}
        self._small: list[_SmallCall] = []

    def makes_room(self, call: UnaryCall) -> bool:
        """Refuses a call whose message is not here. Returns False if there is none that must give way."""
        now = time.monotonic()
        with self._lock:
            calls = [(other, since) for other, since in (self._inside | self._outside).items() if since is not None]
        waiting = [Waiting(other, other.peer, now - since) for other, since in calls if other.is_active()]
        found = to_give_way(sorted(waiting, key=lambda one: -one.stalled), call.peer)
        if found is not None:
            found.refuse(*status_of(Fault(Code.RESOURCE_EXHAUSTED, _GAVE_WAY)))
        return found is not None

    def begun(self, call: UnaryCall) -> None:
        """Receives the message when there is a place. A call without a valid token is refused before."""
        if self._tokens is not None:
            try:
                self._tokens.check(token_of(call.metadata))
            except Fault as fault:
                call.refuse(*status_of(fault))
                return
        with self._lock:
            self._outside[call] = time.monotonic()
        self._let_in()

    def received(self, call: UnaryCall, message: bytes | None) -> None:
        """Answers a message, or lets it wait for `idle`."""
        self._arrivals.end(call)
        if message is None:
            call.refuse(grpc.StatusCode.INVALID_ARGUMENT, NO_MESSAGE)  # if the client is still there
            self._leave(call)
        elif call.method == PREDICT.encode() and len(message) <= together.MOST_BYTES:
            self._leave(call)
            self._take(call, message)
        else:
            with self._lock:
                self._inside[call] = None
            self._start(call, message, functools.partial(self._leave, call))

    def ended(self, call: UnaryCall) -> None:
        """Forgets a call that has not begun to receive its message."""
        self._arrivals.end(call)
        with self._lock:
            self._outside.pop(call, None)

    def idle(self) -> None:
        """Answers the small requests that wait."""
        while self._small:
            requests, self._small = self._small[: together.MOST], self._small[together.MOST :]
            try:
                together.answer(self._service, requests, self._deliver)
            except Exception as error:  # this thread serves all calls, so it must not end
                self._deliver([together.failed(request, error) for request in requests])

    def _let_in(self) -> None:
        """Begins to receive messages while there are places."""
        with self._lock:
            entering = []
            while self._outside and len(self._inside) < self._places:
                call = self._next()
                self._inside[call] = self._outside.pop(call)
                entering.append(call)
        for call in entering:
            self._arrivals.begin(call)
            if not call.receive():  # its client has gone
                self._arrivals.end(call)
                self._leave(call)

    def _next(self) -> UnaryCall:
        """Returns the call that enters next: the one that came first.

        If messages stall, it is the one that came last of the client with the fewest messages inside. Most that came
        before it will stall, too.
        """
        if not self._arrivals.stall:
            return next(iter(self._outside))
        counts = Counter(call.peer for call in self._inside)
        return min(reversed(self._outside), key=lambda call: counts[call.peer])

    def _leave(self, call: UnaryCall) -> None:
        with self._lock:
            self._inside.pop(call, None)
        self._let_in()

    def _take(self, call: UnaryCall, message: bytes) -> None:
        try:
            held = self._service.calls.begin()
        except Fault as fault:
            call.refuse(*status_of(fault))
            return
        self._small.append(_SmallCall(call, message, held, self._predictions, self._start))
        if len(self._small) >= together.MOST:
            self.idle()

    def _start(self, call: UnaryCall, message: bytes, after: Callable[[], None] | None = None) -> None:
        """Starts to answer in a thread of the pool."""
        try:
            running = self._pool.submit(_answer, self.methods[call.method], call, message)
        except RuntimeError:  # the pool is closed
            call.refuse(*status_of(Fault(Code.UNAVAILABLE, "the server is stopping")))
            running = Future()
            running.cancel()
        if after is not None:
            running.add_done_callback(lambda _: after())

    def _deliver(self, done: list[together.Done]) -> None:
        for request, outcome in done:
            request.deliver(self._service, outcome)


class _SmallCall:
    """A small Predict request (`together.Request`)."""

    def __init__(
        self,
        unary: UnaryCall,
        message: bytes,
        call: Call,
        predictions: PredictionService,
        start: Callable[[UnaryCall, bytes], None],
    ) -> None:
        self.call = call
        self._unary, self._message, self._predictions, self._start = unary, message, predictions, start
        self._spec: Any = None
        self._started = time.perf_counter()
        call.watch(unary.is_active)

    def inputs(self, lease: Callable[[Any], Servable]) -> together.Inputs | None:
        """Parses the message. See `together.Request` for this and what follows."""
        request = parsed(predict_pb2.PredictRequest, self._message, self.call)
        self._spec = request.model_spec
        servable = lease(self._spec)
        name = self._spec.signature_name
        signature = servable.signature(name, Code.FAILED_PRECONDITION)
        if request.output_filter:
            return None
        return together.Inputs(servable, name, decode(self.call, signature, request.inputs))

    def content(self, asked: together.Inputs, results: Mapping[str, Array]) -> bytes:
        """Returns the response."""
        return serialized(self._predictions.response(asked.servable, self._spec, results, self.call))

    def start_alone(self) -> None:
        """Computes the request in a thread of the pool, which counts it."""
        self.call.close()
        self._start(self._unary, self._message)

    def deliver(self, service: Service, outcome: bytes | Fault) -> None:
        """Sends the outcome, and counts it."""
        if isinstance(outcome, bytes):
            service.succeeded(self._spec.name, "Predict", "GRPC", self._started)
            self._unary.answer(outcome)
        else:
            fault = outcome if self._spec is None else service.failed(self._spec.name, outcome)
            self._unary.refuse(*status_of(fault))


def _answer(answer: Answer, call: UnaryCall, message: bytes) -> None:
    try:
        call.answer(answer(message, call.is_active))
    except Exception as error:  # every call gets an answer
        call.refuse(*status_of(fault_of(error)))
