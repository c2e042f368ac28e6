"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import functools
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

from tensorflow_serving.apis import model_pb2

from serving.model_server import examples, json_requests, json_responses
from serving.model_server.access import Tokens, token_of
from serving.model_server.bodies import Bodies, Body, Receive, inflated
from serving.model_server.calls import Call
from serving.model_server.connections import ARRIVED
from serving.model_server.faults import Code, Fault, http_status, invalid
from serving.model_server.service import Service, metadata_json, status_json
from serving.model_server.small_requests import SmallRequests
from serving.model_server.together import MOST_BYTES

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(rf"(?i)/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<api>classify|regress|predict)")
_QUERY = re.compile(rf"(?i)/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<resource>metadata))?")
_UNAUTHORIZED = 401
# Seconds before the server starts to watch whether the client is still there, which costs short requests nothing.
_PATIENCE = 0.1
_LARGE_BODY = 256 << 10
_PATHS = 1024
_NOBODY = ("",)  # the address of a client of a socket file

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Headers = Mapping[bytes, bytes]


class Target(NamedTuple):
    """A parsed path: a ModelSpec and the API to call."""

    spec: Any
    api: str


class Answer(NamedTuple):
    """A response."""

    content: bytes
    status: int = 200
    media_type: bytes = b"application/json"


class RestApi:
    """Answers requests. Models run in threads, and the event loop only reads and writes."""

    def __init__(
        self, service: Service, executor: Executor, metrics_path: str | None, cors: bool, tokens: Tokens | None = None
    ) -> None:
        self._service, self._executor = service, executor
        self._bodies = Bodies(service.calls)
        self._small = SmallRequests(service)
        self._metrics_path = metrics_path
        self._tokens = tokens
        self._headers = _cors(tokens is not None) if cors else []

    def refuse_bodies(self) -> None:
        """Ends the requests whose body is not complete, because the server stops. Safe from any thread."""
        self._bodies.refuse()

    def close(self) -> None:
        """Ends the threads of small requests."""
        self._small.close()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI defines it."""
        answer = await self._answer(scope, receive)
        headers = [(b"content-length", b"%d" % len(answer.content)), (b"content-type", answer.media_type)]
        if answer.status == _UNAUTHORIZED:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers + self._headers})
        await send({"type": "http.response.body", "body": answer.content})

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> Answer:
        method, path = scope["method"], scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")
        is_preflight = method == "OPTIONS" and path.lower().startswith("/v1/")
        if self._tokens is not None and not is_preflight:  # a browser sends no token with it
            try:
                self._tokens.check(token_of(scope["headers"]))
            except Fault as fault:
                return _refused(fault)
        if path == self._metrics_path:
            return Answer(self._service.metrics.page(), media_type=b"text/plain; charset=utf-8")
        if not path.lower().startswith("/v1/"):
            return _refused(Fault(Code.NOT_FOUND, f"Not match: {path}. API paths start with /v1/models"))
        if is_preflight:
            return _preflight(dict(scope["headers"]))
        started = time.perf_counter()
        try:
            target = parse(method, path)
        except Fault as fault:
            return _refused(fault)
        try:
            content = await self._content(method, target, scope, receive)
        except Exception as error:  # every request gets a response, in JSON
            return _refused(self._service.failed(target.spec.name, error))
        self._service.succeeded(target.spec.name, target.api, "REST", started)
        return Answer(content)

    async def _content(self, method: str, target: Target, scope: Mapping[str, Any], receive: Receive) -> bytes:
        if method != "POST":
            return json_responses.dump(self._describe(target))
        call = self._service.calls.begin((scope.get("client") or _NOBODY)[0])
        try:
            headers = dict(scope["headers"])
            arrived = scope.get("extensions", {}).get(ARRIVED)
            body = await self._bodies.read(receive, _length(headers), arrived is not None, call)
            encoding = headers.get(b"content-encoding", b"").decode("latin-1")
            is_only = arrived is not None and len(arrived["requests"]) <= 1
            running = self._start(target, body, encoding, call, is_only)
        except BaseException:
            call.close()
            raise
        if isinstance(running, bytes):
            return running
        waiting = self._awaited(running, call, receive)
        del running  # it will hold the fault, whose traceback holds this frame
        return await waiting

    def _start(
        self, target: Target, body: Body, encoding: str, call: Call, is_only: bool
    ) -> bytes | asyncio.Future[bytes]:
        """Starts to compute the response, or computes it. The call ends with the work, even if nobody waits for it."""
        work = functools.partial(_work, self._service, target, body, encoding, call)
        if target.api == "predict" and not encoding and len(body) <= MOST_BYTES:
            return self._small.start(target.spec, body, call, is_only, functools.partial(self._in_thread, work, call))
        return asyncio.wrap_future(self._in_thread(work, call))

    def _in_thread(self, work: Callable[[], bytes], call: Call) -> Future[bytes]:
        running = self._executor.submit(work)
        running.add_done_callback(lambda _: call.close())
        return running

    async def _awaited(self, running: asyncio.Future[bytes], call: Call, receive: Receive) -> bytes:
        """Waits for the answer. Stops the work if it takes too long or if the client disconnects."""
        limit = self._service.limits.timeout_seconds
        gone = None
        try:
            if not running.done():
                await _settled(running, min(limit, _PATIENCE))
            if not running.done() and limit > _PATIENCE:
                gone = asyncio.ensure_future(_disconnected(receive))
                await asyncio.wait((running, gone), timeout=limit - _PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            call.cancel()
            if gone is not None and gone.done():
                raise Fault(Code.CANCELLED, "the client disconnected")
            raise Fault(Code.DEADLINE_EXCEEDED, f"no answer within {limit:g} s (--rest_api_timeout_in_ms)")
        finally:
            running.cancel()
            if gone is not None:
                gone.cancel()
            del running  # as above

    def _describe(self, target: Target) -> dict[str, Any]:
        if not target.spec.name:
            raise invalid("Missing model name in request.")
        if target.api == "metadata":
            return metadata_json(self._service.metadata(target.spec))
        return status_json(self._service.status(target.spec))


def _cors(has_tokens: bool) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-methods", b"POST, GET"),
        (b"access-control-allow-headers", b"Content-Type, Authorization" if has_tokens else b"Content-Type"),
    ]


def _length(headers: Headers) -> int | None:
    text = headers.get(b"content-length", b"")
    return int(text[:20]) if text.isdigit() else None


def _preflight(headers: Headers) -> Answer:
    if re.match(rb"https?://", headers.get(b"origin", b"")):
        return Answer(b"")
    return _refused(Fault(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"))


def _refused(fault: Fault) -> Answer:
    message = fault.message.encode("utf-8", "replace").decode()
    return Answer(json_responses.dump({"error": message}), http_status(fault))


async def _settled(running: asyncio.Future[bytes], seconds: float) -> None:
    """Waits until a future has a result, at most some seconds, with less work than `asyncio.wait`."""
    loop = running.get_loop()
    waiter = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(seconds, wake)
    running.add_done_callback(wake)
    try:
        await waiter
    finally:
        timer.cancel()
        running.remove_done_callback(wake)


async def _disconnected(receive: Receive) -> None:
    """Returns when the client disconnects, after its body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


@functools.lru_cache(_PATHS)
def parse(method: str, path: str) -> Target:
    """Parses a percent-encoded path. Do not change the result, which is the same for the same path.

    Raises:
      Fault: the API has no such path, or does not allow the method for it.
    """
    pattern = {"POST": _CALL, "GET": _QUERY, "HEAD": _QUERY}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise invalid(f"Malformed request: {method} {path}")
    parts = match.groupdict()
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(parts["model"] or ""))
    if parts["version"] is not None:
        if int(parts["version"]) >= 2**63:
            raise invalid(f"Failed to convert version: {parts['version']} to numeric.")
        spec.version.value = int(parts["version"])
    if parts["label"] is not None:
        spec.version_label = urllib.parse.unquote(parts["label"])
    return Target(spec, (parts.get("api") or parts.get("resource") or "status").lower())


def _work(service: Service, target: Target, body: Body, encoding: str, call: Call) -> bytes:
    """Computes the response body of a POST request. Runs in a thread of the executor."""
    call.check()
    content = inflated(body, encoding, call)
    if len(content) > _LARGE_BODY:  # a small body is parsed first, like in TensorFlow Serving
        with service.lease(target.spec):
            pass
    document = json_requests.parse(content)
    try:
        call.check()
        return _CALLS[target.api](service, target.spec, document, call)
    finally:
        json_requests.discard(document)


def _predict(service: Service, spec: Any, document: dict[str, Any], call: Call) -> bytes:
    name = json_requests.signature_name(document)
    with service.lease(spec) as servable:
        inputs, as_rows = json_requests.inputs_of(document, servable.signature(name))
        outputs = service.inference.predict(call, servable, name, inputs)
    call.check()
    return json_responses.answer(outputs, as_rows)


def _classify(service: Service, spec: Any, document: dict[str, Any], call: Call) -> bytes:
    name, message = json_requests.signature_name(document), examples.input_of(document)
    with service.lease(spec) as servable:
        result = service.inference.classify(call, servable, name, message)
    return examples.classifications_json(result)


def _regress(service: Service, spec: Any, document: dict[str, Any], call: Call) -> bytes:
    name, message = json_requests.signature_name(document), examples.input_of(document)
    with service.lease(spec) as servable:
        result = service.inference.regress(call, servable, name, message)
    return examples.regressions_json(result)


_CALLS = {"predict": _predict, "classify": _classify, "regress": _regress}
