"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import re
import urllib.parse
from concurrent.futures import Executor
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import model_pb2

from serving.model_server import examples, json_requests, json_responses
from serving.model_server.bodies import Bodies, Body, inflated
from serving.model_server.calls import Call
from serving.model_server.faults import Code, Fault, fault_of, http_status, invalid
from serving.model_server.service import Service, metadata_json, status_json

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(rf"(?i)/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<api>classify|regress|predict)")
_QUERY = re.compile(rf"(?i)/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<resource>metadata))?")
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
# Seconds before the server starts to watch whether the client is still there, which costs short requests nothing.
_PATIENCE = 0.1
_LARGE_BODY = 256 << 10
_METHODS = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH"]


class Target(NamedTuple):
    """A parsed path: a ModelSpec and the API to call."""

    spec: Any
    api: str


class RestApi:
    """Answers requests. Models run in `executor`, and the event loop only reads and writes."""

    def __init__(self, service: Service, executor: Executor, metrics_path: str | None, cors: bool) -> None:
        self._service, self._executor = service, executor
        self._bodies = Bodies()
        self._metrics_path, self._cors = metrics_path, cors

    def refuse_bodies(self) -> None:
        """Ends the requests whose body is not complete, because the server stops. Safe from any thread."""
        self._bodies.refuse()

    def application(self) -> Starlette:
        """Returns the ASGI application."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=_METHODS)])

    async def _answer(self, request: Request) -> Response:
        path = request.scope.get("raw_path", b"").split(b"?")[0].decode("ascii", "replace") or request.url.path
        if self._metrics_path is not None and path == self._metrics_path:
            return Response(self._service.metrics.page(), media_type="text/plain")
        if not path.lower().startswith("/v1/"):
            return self._response(Fault(Code.NOT_FOUND, f"Not match: {path}. API paths start with /v1/models"))
        if request.method == "OPTIONS":
            return self._preflight(request)
        try:
            target = parse(request.method, path)
            with self._service.counted(target.spec.name, target.api, "REST"):
                body = await self._content(request, target)
        except Exception as error:  # every request gets a response, in JSON
            return self._response(fault_of(error))
        return self._response(body)

    async def _content(self, request: Request, target: Target) -> bytes:
        if request.method in ("GET", "HEAD"):
            return json_responses.dump(self._describe(target))
        call = self._service.calls.begin()
        try:
            body = await self._bodies.read(request, call)
            encoding = request.headers.get("content-encoding", "")
            work = self._executor.submit(_work, self._service, target, body, encoding, call)
        except BaseException:
            call.close()
            raise
        # A call that nobody waits for occupies its slot until its thread has noticed that.
        work.add_done_callback(lambda _: call.close())
        waiting = self._awaited(asyncio.wrap_future(work), call, request)
        del work  # it will hold the fault, whose traceback holds this frame
        return await waiting

    async def _awaited(self, running: asyncio.Future[bytes], call: Call, request: Request) -> bytes:
        """Waits for the answer. Stops the work if it takes too long or if the client disconnects."""
        limit = self._service.limits.timeout_seconds
        gone = None
        try:
            await asyncio.wait((running,), timeout=min(limit, _PATIENCE))
            if not running.done() and limit > _PATIENCE:
                gone = asyncio.ensure_future(_disconnected(request))
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

    def _preflight(self, request: Request) -> Response:
        if re.match(r"https?://", request.headers.get("origin", "")):
            return self._response(b"")
        return self._response(Fault(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"))

    def _response(self, content: bytes | Fault) -> Response:
        status = 200
        if isinstance(content, Fault):
            status = http_status(content)
            content = json_responses.dump({"error": content.message.encode("utf-8", "replace").decode()})
        headers = dict(_CORS) if self._cors else {}
        return Response(content, status, headers, media_type="application/json")


async def _disconnected(request: Request) -> None:
    """Returns when the client disconnects, after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def parse(method: str, path: str) -> Target:
    """Parses a percent-encoded path.

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
