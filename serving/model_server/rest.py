"""TensorFlow Serving's REST API as an ASGI application."""

from __future__ import annotations

import asyncio
import functools
import re
import urllib.parse
from concurrent.futures import Executor
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import model_pb2

from serving.model_server import examples, json_requests, json_responses
from serving.model_server.faults import HTTP_STATUS, Code, Fault, fault_of, invalid
from serving.model_server.service import Service, metadata_json, status_json

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(rf"(?i)/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<api>classify|regress|predict)")
_QUERY = re.compile(rf"(?i)/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<resource>metadata))?")
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_METHODS = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH"]


class Target(NamedTuple):
    """A parsed path: a ModelSpec and the API to call."""

    spec: Any
    api: str


class RestApi:
    """Answers requests. Models run in `executor`, and the event loop only reads and writes."""

    def __init__(self, service: Service, executor: Executor, metrics_path: str | None, cors: bool) -> None:
        self._service, self._executor = service, executor
        self._metrics_path, self._cors = metrics_path, cors

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
        body = await self._body(request)
        with self._service.slot():
            call = functools.partial(_CALLS[target.api], self._service, target.spec, body)
            # A thread cannot be stopped. After the timeout, the client gets an error and the slot is freed.
            running = asyncio.get_running_loop().run_in_executor(self._executor, call)
            try:
                return await asyncio.wait_for(running, self._service.limits.timeout_seconds)
            except asyncio.TimeoutError:
                raise Fault(
                    Code.DEADLINE_EXCEEDED,
                    f"no answer within {self._service.limits.timeout_seconds:g} s (--rest_api_timeout_in_ms)",
                ) from None

    def _describe(self, target: Target) -> dict[str, Any]:
        if not target.spec.name:
            raise invalid("Missing model name in request.")
        if target.api == "metadata":
            return metadata_json(self._service.metadata(target.spec))
        return status_json(self._service.status(target.spec))

    async def _body(self, request: Request) -> bytes:
        """Reads the body, and refuses it as soon as it exceeds the limit."""
        limit = self._service.limits.max_body_bytes
        announced = request.headers.get("content-length", "")
        pieces: list[bytes] = []
        size = int(announced) if announced.isdecimal() else 0
        if size <= limit:
            size = 0
            try:
                async for piece in request.stream():
                    size += len(piece)
                    if size > limit:
                        break
                    pieces.append(piece)
            except ClientDisconnect:
                raise Fault(Code.CANCELLED, "the client disconnected") from None
        if size > limit:
            raise BodyTooLarge(f"the request body exceeds {limit} bytes (--max_body_bytes)")
        return b"".join(pieces)

    def _preflight(self, request: Request) -> Response:
        if re.match(r"https?://", request.headers.get("origin", "")):
            return self._response(b"")
        return self._response(Fault(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"))

    def _response(self, content: bytes | Fault) -> Response:
        status = 200
        if isinstance(content, Fault):
            status = 413 if isinstance(content, BodyTooLarge) else HTTP_STATUS[content.code]
            content = json_responses.dump({"error": content.message.encode("utf-8", "replace").decode()})
        headers = dict(_CORS) if self._cors else {}
        return Response(content, status, headers, media_type="application/json")


class BodyTooLarge(Fault):
    """RESOURCE_EXHAUSTED, for which HTTP has the separate status 413."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.RESOURCE_EXHAUSTED, message)


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


def _predict(service: Service, spec: Any, body: bytes) -> bytes:
    document = json_requests.parse(body)
    name = json_requests.signature_name(document)
    with service.lease(spec) as servable:
        inputs, as_rows = json_requests.inputs_of(document, servable.signature(name))
        return json_responses.answer(service.inference.predict(servable, name, inputs), as_rows)


def _classify(service: Service, spec: Any, body: bytes) -> bytes:
    document = json_requests.parse(body)
    name, message = json_requests.signature_name(document), examples.input_of(document)
    with service.lease(spec) as servable:
        result = service.inference.classify(servable, name, message)
    return examples.classifications_json(result)


def _regress(service: Service, spec: Any, body: bytes) -> bytes:
    document = json_requests.parse(body)
    name, message = json_requests.signature_name(document), examples.input_of(document)
    with service.lease(spec) as servable:
        result = service.inference.regress(servable, name, message)
    return examples.regressions_json(result)


_CALLS = {"predict": _predict, "classify": _classify, "regress": _regress}
