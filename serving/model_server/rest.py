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

from serving.model_server import examples, json_tensors
from serving.model_server.faults import HTTP_STATUS, Code, Fault, fault_of, invalid
from serving.model_server.service import Service, metadata_json, status_json

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(rf"(?i)/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<api>classify|regress|predict)")
_LOOK = re.compile(rf"(?i)/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<what>metadata))?")
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_METHODS = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH"]


class Target(NamedTuple):
    """What a path names: a ModelSpec, and what is asked of it."""

    spec: Any
    api: str


class RestApi:
    """Answers requests; the model runs in `executor`, the event loop only reads and writes."""

    def __init__(self, service: Service, executor: Executor, metrics_path: str | None, cors: bool) -> None:
        self._service, self._executor = service, executor
        self._metrics_path, self._cors = metrics_path, cors

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=_METHODS)])

    async def _answer(self, request: Request) -> Response:
        path = request.scope.get("raw_path", b"").split(b"?")[0].decode("ascii", "replace") or request.url.path
        if self._metrics_path is not None and path == self._metrics_path:
            return Response(self._service.metrics.page(), media_type="text/plain")
        if not path.lower().startswith("/v1/"):
            return self._response(Fault(Code.NOT_FOUND, f"Not found: {path}; the API is below /v1/models"))
        if request.method == "OPTIONS":
            return self._preflight(request)
        try:
            target = parse(request.method, path)
            with self._service.counted(target.spec.name, target.api, "REST"):
                body = await self._content(request, target)
        except Exception as error:  # a client is owed an answer, in JSON
            return self._response(fault_of(error))
        return self._response(body)

    async def _content(self, request: Request, target: Target) -> bytes:
        if request.method in ("GET", "HEAD"):
            return json_tensors.dump(self._look(target))
        body = await self._body(request)
        with self._service.place():
            call = functools.partial(_CALLS[target.api], self._service, target.spec, body)
            # A thread cannot be stopped: past the deadline the client is told so, and the place is free again.
            running = asyncio.get_running_loop().run_in_executor(self._executor, call)
            try:
                return await asyncio.wait_for(running, self._service.limits.timeout_seconds)
            except asyncio.TimeoutError:
                raise Fault(
                    Code.DEADLINE_EXCEEDED,
                    f"no answer within {self._service.limits.timeout_seconds:g} s (--rest_api_timeout_in_ms)",
                ) from None

    def _look(self, target: Target) -> dict[str, Any]:
        if not target.spec.name:
            raise invalid("Missing model name in request.")
        if target.api == "metadata":
            return metadata_json(self._service.metadata(target.spec))
        return status_json(self._service.status(target.spec))

    async def _body(self, request: Request) -> bytes:
        """The body, refused as soon as it is known to be too large."""
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
                raise Fault(Code.CANCELLED, "the client went away") from None
        if size > limit:
            raise BodyTooLarge(f"the body has more than {limit} bytes, which is --max_body_bytes")
        return b"".join(pieces)

    def _preflight(self, request: Request) -> Response:
        if re.match(r"https?://", request.headers.get("origin", "")):
            return self._response(b"")
        return self._response(Fault(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"))

    def _response(self, content: bytes | Fault) -> Response:
        status = 200
        if isinstance(content, Fault):
            status = 413 if isinstance(content, BodyTooLarge) else HTTP_STATUS[content.code]
            content = json_tensors.dump({"error": content.message.encode("utf-8", "replace").decode()})
        headers = dict(_CORS) if self._cors else {}
        return Response(content, status, headers, media_type="application/json")


class BodyTooLarge(Fault):
    """RESOURCE_EXHAUSTED over gRPC; HTTP has a status of its own for it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.RESOURCE_EXHAUSTED, message)


def parse(method: str, path: str) -> Target:
    """What `path` (still percent-encoded) asks for.

    Raises:
      Fault: it is no path of the API, or does not go with the method.
    """
    pattern = {"POST": _CALL, "GET": _LOOK, "HEAD": _LOOK}.get(method)
    found = pattern.fullmatch(path) if pattern else None
    if found is None:
        raise invalid(f"Malformed request: {method} {path}")
    parts = found.groupdict()
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(parts["model"] or ""))
    if parts["version"] is not None:
        if int(parts["version"]) >= 2**63:
            raise invalid(f"Failed to convert version: {parts['version']} to numeric.")
        spec.version.value = int(parts["version"])
    if parts["label"] is not None:
        spec.version_label = urllib.parse.unquote(parts["label"])
    return Target(spec, (parts.get("api") or parts.get("what") or "status").lower())


def _predict(service: Service, spec: Any, body: bytes) -> bytes:
    document = json_tensors.parse(body)
    name = json_tensors.signature_name(document)
    with service.lease(spec) as servable:
        inputs, as_rows = json_tensors.inputs_of(document, servable.signature(name))
        return json_tensors.answer(service.inference.predict(servable, name, inputs), as_rows)


def _classify(service: Service, spec: Any, body: bytes) -> bytes:
    document = json_tensors.parse(body)
    name, message = json_tensors.signature_name(document), examples.input_of(document)
    with service.lease(spec) as servable:
        result = service.inference.classify(servable, name, message)
    return examples.classifications_json(result)


def _regress(service: Service, spec: Any, body: bytes) -> bytes:
    document = json_tensors.parse(body)
    name, message = json_tensors.signature_name(document), examples.input_of(document)
    with service.lease(spec) as servable:
        result = service.inference.regress(servable, name, message)
    return examples.regressions_json(result)


_CALLS = {"predict": _predict, "classify": _classify, "regress": _regress}
