"""Computes small requests of Kindred's signatures together.

TensorFlow needs about as long for one row as for thirty, so requests that ask a model for the same are computed in one
call. A request never waits for others to come. Large requests, and signatures whose rows may depend on each other, are
computed alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from serving.model_server import outputs
from serving.model_server.calls import Call, check_rows, unlimited
from serving.model_server.contract import K, number_of_answers, rows_of
from serving.model_server.faults import Fault, fault_of
from serving.model_server.servable import Servable
from serving.model_server.service import Service
from serving.model_server.tensor_checks import check_aliases
from serving.model_server.tensors import Array

# The size of a request that can be small, and the most requests and rows of a call.
MOST_BYTES = 8 << 10
MOST = 64
# Scores of the largest ranking that counts as small. It takes about as long as the rest of a request.
_SMALL_RANKING = 1 << 17
# The requests of a computation have their own calls, which count what they hold.
_UNLIMITED = unlimited()


class Inputs(NamedTuple):
    """What a request asks for: a signature of a leased servable, and its inputs by alias."""

    servable: Servable
    signature: str
    arrays: Mapping[str, Array]


class Request(Protocol):
    """A predict request, independent of the transport."""

    call: Call

    def inputs(self, lease: Callable[[Any], Servable]) -> Inputs | None:
        """Returns what the request asks for, or None if it must be computed alone.

        Args:
          lease: leases the servable of a ModelSpec until the answer is computed.

        Raises:
          Fault: the request is invalid.
        """
        ...

    def content(self, asked: Inputs, results: Mapping[str, Array]) -> bytes:
        """Returns the response with these outputs."""
        ...

    def start_alone(self) -> None:
        """Starts to compute the request in another thread, which delivers its outcome."""
        ...


class Done(NamedTuple):
    """A request and its outcome: a response or a fault."""

    request: Any
    outcome: bytes | Fault


Deliver = Callable[[list[Done]], None]


@dataclasses.dataclass(eq=False)
class _Parsed:
    """A request that can be computed together with others of the same `group`."""

    request: Request
    asked: Inputs
    rows: int

    @property
    def group(self) -> tuple[Any, ...]:
        """What requests must have in common."""
        servable, signature, arrays = self.asked
        return servable, signature, number_of_answers(arrays), tuple(arrays)


def answer(service: Service, requests: Sequence[Request], deliver: Deliver) -> None:
    """Answers requests, as many as possible together.

    Args:
      service: computes and logs them.
      requests: at most `MOST`.
      deliver: receives the outcomes, of each request once.
    """
    groups: dict[tuple[Any, ...], list[_Parsed]] = {}
    with contextlib.ExitStack() as leases:
        for request in requests:
            parsed = _admitted(service, request, leases, deliver)
            if parsed is not None:
                groups.setdefault(parsed.group, []).append(parsed)
        for group in groups.values():
            deliver(_computed(service, group))


def _admitted(service: Service, request: Request, leases: contextlib.ExitStack, deliver: Deliver) -> _Parsed | None:
    """Returns the parsed request, or None if it has failed or is computed alone."""
    try:
        parsed = _parsed(service, request, leases)
        if parsed is None:
            request.start_alone()
    except Exception as error:  # each request gets its own answer
        deliver([failed(request, error)])
        return None
    return parsed


def _parsed(service: Service, request: Request, leases: contextlib.ExitStack) -> _Parsed | None:
    """Returns the parsed request, or None if it must be computed alone. Counts the memory of its answer.

    Raises:
      Fault: the request is invalid, or nobody waits for it any more.
    """
    request.call.check()
    asked = request.inputs(lambda spec: leases.enter_context(service.lease(spec)))
    if asked is None:
        return None
    servable, name, inputs = asked
    signature = servable.signature(name)
    rows = None if servable.batches or servable.is_slow(name) else rows_of(inputs)
    if rows is None or not 0 < rows <= MOST:
        return None
    check_aliases(signature, inputs)
    check_rows(rows, service.limits)
    aliases, k = servable.outputs_of(name), number_of_answers(inputs)
    if k is not None:
        catalogue = outputs.catalogue_of(servable, signature, inputs, aliases)
        # If both sides share a table, the number of answers to an unknown id depends on the other rows.
        if rows * catalogue > _SMALL_RANKING or not 0 < k < catalogue - 1:
            return None
    outputs.hold(request.call, servable, signature, aliases, rows, k)
    return _Parsed(request, asked, rows)


def _computed(service: Service, group: list[_Parsed]) -> list[Done]:
    """Computes requests in one call. If that fails, computes each alone."""
    servable, signature, first = group[0].asked
    inputs = {
        alias: array
        if alias == K or len(group) == 1
        else np.concatenate([parsed.asked.arrays[alias] for parsed in group])
        for alias, array in first.items()
    }
    started = time.perf_counter()
    try:
        results = service.inference.compute(
            _UNLIMITED, servable, servable.signature(signature), inputs, servable.outputs_of(signature)
        )
        servable.took(signature, time.perf_counter() - started)
    except Exception as error:  # one request can make all fail
        if len(group) > 1:
            return [done for parsed in group for done in _computed(service, [parsed])]
        return [failed(group[0].request, error)]
    done, start = [], 0
    for parsed in group:
        end = start + parsed.rows
        own = {name: array[start:end] for name, array in results.items()}
        done.append(_answered(parsed, own))
        service.log(servable, signature, parsed.asked.arrays, own)
        start = end
    return done


def _answered(parsed: _Parsed, results: Mapping[str, Array]) -> Done:
    try:
        content = parsed.request.content(parsed.asked, results)
    except Exception as error:  # each request gets its own answer
        return failed(parsed.request, error)
    parsed.request.call.close()
    return Done(parsed.request, content)


def failed(request: Request, error: Exception) -> Done:
    """Returns the outcome of a request that failed, and closes its call."""
    request.call.close()
    fault = fault_of(error)
    # The frames of the traceback hold the request, which can hold the fault. That cycle would keep the request in
    # memory until a full garbage collection.
    fault.__context__ = fault.__cause__ = fault.__traceback__ = None
    return Done(request, fault)
