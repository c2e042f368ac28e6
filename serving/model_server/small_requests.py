"""Answers small requests of Kindred's signatures together.

TensorFlow needs about as long for one row as for thirty, and so does the change between threads. A thread therefore
takes all the requests that wait, and computes those that ask a model for the same in one call. A request never waits
for others to come. Large requests, and signatures whose rows may depend on each other, are computed alone.
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
from typing import Any, NamedTuple

import numpy as np

from serving.model_server import json_requests, json_responses, outputs
from serving.model_server.bodies import Body
from serving.model_server.calls import Call, check_rows, unlimited
from serving.model_server.contract import K, number_of_answers, rows_of
from serving.model_server.faults import Code, Fault, fault_of
from serving.model_server.servable import Servable
from serving.model_server.service import Service
from serving.model_server.tensor_checks import check_aliases
from serving.model_server.tensors import Array

MOST_BYTES = 8 << 10
_TOGETHER = 64
# Scores of the largest ranking that counts as small. It takes about as long as the rest of a request.
_SMALL_RANKING = 1 << 17
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


@dataclasses.dataclass(eq=False)
class _Parsed:
    """A request that can be computed together with others of the same `group`."""

    request: _Request
    servable: Servable
    signature: str
    inputs: Mapping[str, Array]
    as_rows: bool
    rows: int

    @property
    def group(self) -> tuple[Any, ...]:
        """What requests must have in common."""
        return self.servable, self.signature, number_of_answers(self.inputs), tuple(self.inputs)


class SmallRequests:
    """Threads that answer what waits."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        for number in range(_THREADS):
            threading.Thread(target=self._run, name=f"small-{number}", daemon=True).start()

    def start(self, spec: Any, body: Body, call: Call, is_only: bool, otherwise: Alone) -> asyncio.Future[bytes]:
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
          The response body.
        """
        future = asyncio.get_running_loop().create_future()
        request = _Request(spec, body, call, future, otherwise)
        if is_only:
            self._answer([request], _set)
        else:
            self._waiting.put(request)
        return future

    def close(self) -> None:
        """Ends the threads, after the requests that wait."""
        for _ in range(_THREADS):
            self._waiting.put(None)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            self._answer(self._with_waiting(first), _deliver)
            del first

    def _with_waiting(self, first: _Request) -> list[_Request]:
        """Returns a request and those that wait."""
        requests = [first]
        with contextlib.suppress(queue.Empty):
            while len(requests) < _TOGETHER:
                following = self._waiting.get_nowait()
                if following is None:
                    self._waiting.put(None)  # for this thread, which reads it next
                    break
                requests.append(following)
        return requests

    def _answer(self, requests: list[_Request], deliver: Callable[[list[_Done]], None]) -> None:
        """Answers requests, as many as possible together."""
        groups: dict[tuple[Any, ...], list[_Parsed]] = {}
        with contextlib.ExitStack() as leases:
            for request in requests:
                parsed = self._admitted(request, leases, deliver)
                if parsed is not None:
                    groups.setdefault(parsed.group, []).append(parsed)
            for group in groups.values():
                deliver(self._computed(group))

    def _admitted(
        self, request: _Request, leases: contextlib.ExitStack, deliver: Callable[[list[_Done]], None]
    ) -> _Parsed | None:
        """Returns the parsed request, or None if it has failed or is computed alone."""
        try:
            parsed = self._parsed(request, leases)
            if parsed is None:
                request.alone().add_done_callback(functools.partial(_pass_on, request))
        except Exception as error:  # each request gets its own answer
            deliver([_failed(request, error)])
            return None
        return parsed

    def _parsed(self, request: _Request, leases: contextlib.ExitStack) -> _Parsed | None:
        """Returns the parsed request, or None if it must be computed alone. Counts the memory of its answer.

        Raises:
          Fault: the request is invalid, or nobody waits for it any more.
        """
        request.call.check()
        document = json_requests.parse(request.body)
        name = json_requests.signature_name(document)
        servable = leases.enter_context(self._service.lease(request.spec))
        signature = servable.signature(name)
        inputs, as_rows = json_requests.inputs_of(document, signature)
        rows = None if servable.batches else rows_of(inputs)
        if rows is None or not 0 < rows <= _TOGETHER:
            return None
        check_aliases(signature, inputs)
        check_rows(rows, self._service.limits)
        aliases, k = servable.outputs_of(name), number_of_answers(inputs)
        if k is not None:
            catalogue = outputs.catalogue_of(servable, signature, inputs, aliases)
            # If both sides share a table, the number of answers to an unknown id depends on the other rows.
            if rows * catalogue > _SMALL_RANKING or not 0 < k < catalogue - 1:
                return None
        outputs.hold(request.call, signature, aliases, rows, k)
        return _Parsed(request, servable, name, inputs, as_rows, rows)

    def _computed(self, group: list[_Parsed]) -> list[_Done]:
        """Computes requests in one call. If that fails, computes each alone."""
        first = group[0]
        inputs = {
            alias: array if alias == K else np.concatenate([parsed.inputs[alias] for parsed in group])
            for alias, array in first.inputs.items()
        }
        try:
            results = self._service.inference.predict(unlimited(), first.servable, first.signature, inputs)
        except Exception as error:  # one request can make all fail
            if len(group) > 1:
                return [done for parsed in group for done in self._computed([parsed])]
            return [_failed(first.request, error)]
        done, start = [], 0
        for parsed in group:
            end = start + parsed.rows
            own = {name: array[start:end] for name, array in results.items()}
            done.append(_answered(parsed, own))
            self._service.log(parsed.servable, parsed.signature, parsed.inputs, own)
            start = end
        return done


class _Done(NamedTuple):
    """A future, and what becomes its result: a response body or a fault."""

    future: asyncio.Future[bytes]
    outcome: bytes | Fault


def _answered(parsed: _Parsed, results: Mapping[str, Array]) -> _Done:
    try:
        content = json_responses.answer(results, parsed.as_rows)
    except Exception as error:  # each request gets its own answer
        return _failed(parsed.request, error)
    parsed.request.call.close()
    return _Done(parsed.request.future, content)


def _failed(request: _Request, error: Exception) -> _Done:
    request.call.close()
    fault = fault_of(error)
    # The frames of the traceback hold the request, whose future holds the fault. That cycle would keep the request in
    # memory until a full garbage collection.
    fault.__context__ = fault.__cause__ = fault.__traceback__ = None
    return _Done(request.future, fault)


def _pass_on(request: _Request, running: concurrent.futures.Future[bytes]) -> None:
    """Delivers the outcome of a request that was computed alone."""
    try:
        done = _Done(request.future, running.result())
    except concurrent.futures.CancelledError:
        done = _failed(request, Fault(Code.UNAVAILABLE, "the server is stopping"))
    except Exception as error:  # each request gets its own answer
        done = _failed(request, error)
    _deliver([done])


def _deliver(done: list[_Done]) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop has ended
        done[0].future.get_loop().call_soon_threadsafe(_set, done)


def _set(done: list[_Done]) -> None:
    """Sets the results. Runs on the event loop."""
    for future, outcome in done:
        if future.done():  # nobody waits any more
            continue
        if isinstance(outcome, bytes):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
