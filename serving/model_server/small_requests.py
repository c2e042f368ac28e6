"""Answers the small REST requests that wait at the same time together.

A change between threads takes as long as the computation of a small request. A thread therefore takes all the requests
that wait.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from serving.model_server import json_requests, json_responses, together
from serving.model_server.bodies import Body
from serving.model_server.calls import Call
from serving.model_server.faults import Code, Fault
from serving.model_server.servable import Servable
from serving.model_server.service import Service
from serving.model_server.tensors import Array

_THREADS = min(os.cpu_count() or 1, 4)

Alone = Callable[[], "concurrent.futures.Future[bytes]"]


@dataclasses.dataclass(eq=False)
class _Request:
    """A request, and the future of its response body on the event loop. `alone` computes it in another thread."""

    spec: Any
    body: Body
    call: Call
    future: asyncio.Future[bytes]
    alone: Alone
    as_rows: bool = False

    def inputs(self, lease: Callable[[Any], Servable]) -> together.Inputs:
        """Parses the body. See `together.Request` for this and what follows."""
        document = json_requests.parse(self.body)
        name = json_requests.signature_name(document)
        servable = lease(self.spec)
        inputs, self.as_rows = json_requests.inputs_of(document, servable.signature(name))
        return together.Inputs(servable, name, inputs)

    def content(self, asked: together.Inputs, results: Mapping[str, Array]) -> bytes:
        """Returns the response body."""
        return json_responses.answer(results, self.as_rows)

    def start_alone(self) -> None:
        """Computes the request in a thread of the REST API."""
        self.alone().add_done_callback(functools.partial(_pass_on, self))


class SmallRequests:
    """Threads that answer what waits."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        for number in range(_THREADS):
            threading.Thread(target=self._run, name=f"small-{number}", daemon=True).start()

    def start(
        self, spec: Any, body: Body, call: Call, is_only: bool, otherwise: Alone
    ) -> bytes | asyncio.Future[bytes]:
        """Starts to answer a predict request. Call it on the event loop.

        The only request is computed at once, because no other one waits for the event loop. Two changes between threads
        would take as long as its computation.

        Args:
          spec: the ModelSpec.
          body: the JSON body.
          call: the request, which is closed when its work ends.
          is_only: whether no other request has arrived.
          otherwise: starts to compute the request alone, if it is not small or its rows must stay together.

        Returns:
          The response body, or its future.

        Raises:
          Fault: the request was computed at once, and failed.
        """
        future = asyncio.get_running_loop().create_future()
        request = _Request(spec, body, call, future, otherwise)
        if not is_only:
            self._waiting.put(request)
            return future
        done: list[together.Done] = []
        together.answer(self._service, [request], done.extend)
        if not done:
            return future
        if isinstance(done[0].outcome, bytes):
            return done[0].outcome
        raise done.pop().outcome  # type: ignore[misc]  # no variable may hold it (`Service.failed`)

    def close(self) -> None:
        """Ends the threads, after the requests that wait."""
        for _ in range(_THREADS):
            self._waiting.put(None)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            together.answer(self._service, self._with_waiting(first), _deliver)
            del first

    def _with_waiting(self, first: _Request) -> list[_Request]:
        """Returns a request and those that wait."""
        requests = [first]
        with contextlib.suppress(queue.Empty):
            while len(requests) < together.MOST:
                following = self._waiting.get_nowait()
                if following is None:
                    self._waiting.put(None)  # for this thread, which reads it next
                    break
                requests.append(following)
        return requests


def _pass_on(request: _Request, running: concurrent.futures.Future[bytes]) -> None:
    """Delivers the outcome of a request that was computed alone."""
    try:
        done = together.Done(request, running.result())
    except concurrent.futures.CancelledError:
        done = together.failed(request, Fault(Code.UNAVAILABLE, "the server is stopping"))
    except Exception as error:  # each request gets its own answer
        done = together.failed(request, error)
    _deliver([done])


def _deliver(done: list[together.Done]) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop has ended
        done[0].request.future.get_loop().call_soon_threadsafe(_set, done)


def _set(done: list[together.Done]) -> None:
    """Sets the results. Runs on the event loop."""
    for request, outcome in done:
        if request.future.done():  # nobody waits any more
            continue
        if isinstance(outcome, bytes):
            request.future.set_result(outcome)
        else:
            request.future.set_exception(outcome)
