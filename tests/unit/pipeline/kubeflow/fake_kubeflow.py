"""A server of Kubeflow's API v2beta1, held to the published schema: every request and answer is checked against it.

The schema is that of the models which kfp-server-api generates from Kubeflow's OpenAPI file: names, types and
enumerations. A run goes through `script`, a state per look at it.
"""

from __future__ import annotations

import datetime
import email
import http.server
import json
import re
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kfp_server_api as api

Answer = tuple[int, Any]
_PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float), "datetime": str}


class SchemaError(AssertionError):
    """A message that the published schema does not allow."""


def check(message: Any, kind: str, path: str = "") -> None:
    """Holds `message` to the schema of `kind`.

    Raises:
      SchemaError: a key or a value that the schema does not know.
    """
    if kind == "object":
        return
    if found := re.fullmatch(r"list\[(.*)\]", kind):
        _demand(isinstance(message, list), path, kind, message)
        for element in message:
            check(element, found[1], f"{path}[]")
    elif found := re.fullmatch(r"dict\(str, (.*)\)", kind):
        _demand(isinstance(message, dict), path, kind, message)
        for key, value in message.items():
            check(value, found[1], f"{path}.{key}")
    elif kind in _PRIMITIVES:
        _demand(isinstance(message, _PRIMITIVES[kind]), path, kind, message)
    else:
        model = getattr(api, kind)
        if hasattr(model, "allowable_values"):
            _demand(message in model.allowable_values, path, kind, message)
            return
        keys = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        _demand(isinstance(message, dict) and message.keys() <= keys.keys(), path, kind, message)
        for key, value in message.items():
            check(value, keys[key], f"{path}.{key}")


def _demand(holds: bool, path: str, kind: str, message: Any) -> None:
    if not holds:
        raise SchemaError(f"{path}: not a {kind}: {message!r}")


class FakeKubeflow:
    """The server. `requests` are its method and path of each; `token`, if set, is demanded."""

    def __init__(self) -> None:
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.broken: list[str] = []
        self.script: list[dict[str, Any]] = [{"state": "SUCCEEDED"}]
        self.token: str | None = None
        self.multi_user = False
        self.version = "2.15.2"
        self.failures: list[Answer] = []
        self.failing = ""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert not self.broken, self.broken

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        """Status, answer and its kind."""
        for wanted, pattern, route in self._routes():
            found = re.fullmatch("/apis/v2beta1/" + pattern, path)
            if wanted == method and found:
                return route(*found.groups(), query=query, body=body)
        return 404, {"error": "no route"}, "object"

    def _routes(self) -> Iterator[tuple[str, str, Callable[..., tuple[int, Any, str]]]]:
        yield "GET", "healthz", lambda **_: (200, self._health(), "object")
        yield "GET", "pipelines/names/([^/]+)", self._pipeline_by_name
        yield "POST", "pipelines", self._create_pipeline
        yield "GET", "pipelines/([^/]+)/versions", self._list_versions
        yield "POST", "pipelines/upload_version", self._upload
        yield "GET", "experiments", self._lister(self.experiments, "V2beta1ListExperimentsResponse", "experiments")
        yield "POST", "experiments", self._creator(self.experiments, "V2beta1Experiment", "experiment_id")
        yield "POST", "runs", self._creator(self.runs, "V2beta1Run", "run_id")
        yield "GET", "runs/([^/]+)", self._get_run
        yield "GET", "recurringruns", self._lister(self.recurring, "V2beta1ListRecurringRunsResponse", "recurringRuns")
        yield "POST", "recurringruns", self._creator(self.recurring, "V2beta1RecurringRun", "recurring_run_id")
        yield "POST", "recurringruns/([^/]+):(enable|disable)", self._switch
        yield "DELETE", "recurringruns/([^/]+)", self._delete

    def _health(self) -> dict[str, Any]:
        # The server writes more than the schema has: main.go of the API server, release 2.15.
        return {"tag_name": self.version, "multi_user": self.multi_user, "pipeline_store": "database"}

    def _pipeline_by_name(self, name: str, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        found = [p for p in self.pipelines.values() if p["name"] == name]
        return (200, found[0], "V2beta1Pipeline") if found else _error(404, f"Pipeline {name} not found")

    def _create_pipeline(self, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        check(body, "V2beta1Pipeline")
        name = body.get("name") or body["display_name"]
        if any(p["name"] == name for p in self.pipelines.values()):
            return _error(409, f"The name {name} already exist")
        made = {**body, "name": name, "pipeline_id": str(uuid.uuid4()), "created_at": _now()}
        self.pipelines[made["pipeline_id"]] = made
        return 200, made, "V2beta1Pipeline"

    def _list_versions(self, pipeline_id: str, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        listed = [v for v in self.versions.values() if v["pipeline_id"] == pipeline_id]
        return _page(listed, query, "pipeline_versions", "V2beta1ListPipelineVersionsResponse")

    def _upload(self, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        if any(v["name"] == query["name"] for v in self.versions.values()):
            return _error(409, f"The version {query['name']} already exist")
        version_id = str(uuid.uuid4())
        self.versions[version_id] = {
            "pipeline_version_id": version_id,
            "pipeline_id": query["pipelineid"],
            "name": query["name"],
            "display_name": query["name"],
            "created_at": _now(),
            "description": str(len(body)),
        }
        return 200, self.versions[version_id], "V2beta1PipelineVersion"

    def _get_run(self, run_id: str, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        if run_id not in self.runs:
            return _error(404, f"Run {run_id} not found")
        state = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return 200, {**self.runs[run_id], **state}, "V2beta1Run"

    def _creator(self, kept: dict[str, dict[str, Any]], kind: str, key: str) -> Callable[..., tuple[int, Any, str]]:
        def create(query: dict[str, str], body: Any) -> tuple[int, Any, str]:
            check(body, kind)
            made = {**body, key: str(uuid.uuid4()), "created_at": _now()}
            if kind == "V2beta1RecurringRun":
                made["status"] = "ENABLED" if made["mode"] == "ENABLE" else "DISABLED"
            kept[made[key]] = made
            return 200, made, kind

        return create

    def _lister(self, kept: dict[str, dict[str, Any]], kind: str, field: str) -> Callable[..., tuple[int, Any, str]]:
        return lambda query, body: _page(list(kept.values()), query, field, kind)

    def _switch(self, run_id: str, verb: str, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        self.recurring[run_id]["status"] = verb.upper() + "D"
        return 200, {}, "object"

    def _delete(self, run_id: str, query: dict[str, str], body: Any) -> tuple[int, Any, str]:
        del self.recurring[run_id]
        return 200, {}, "object"

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _serve(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append(f"{self.command} {url.path.removeprefix('/apis/v2beta1/')}")
                status, answer, _ = self._answer(url, raw)
                text = answer if isinstance(answer, str) else json.dumps(answer)
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(answer, str) else "application/json")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def _answer(self, url: urllib.parse.SplitResult, raw: bytes) -> tuple[int, Any, str]:
                if server.failures and server.failing in url.path:
                    return (*server.failures.pop(0), "object")
                if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
                    return _error(401, "Request header error: there is no valid identity token")
                try:
                    query = dict(urllib.parse.parse_qsl(url.query))
                    answer = server.answer(self.command, url.path, query, self._body(raw))
                    if answer[0] == 200:
                        check(answer[1], answer[2])
                except (SchemaError, KeyError) as error:
                    server.broken.append(f"{self.command} {url.path}: {error!r}")
                    return _error(400, str(error))
                return answer

            def _body(self, raw: bytes) -> Any:
                kind = self.headers.get("Content-Type", "")
                if kind.startswith("multipart/form-data"):
                    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
                    (part,) = message.get_payload()
                    assert part.get_param("name", header="content-disposition") == "uploadfile"
                    return part.get_payload(decode=True)
                return json.loads(raw) if raw else None

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _error(status: int, message: str) -> tuple[int, Any, str]:
    return status, {"error": message, "code": 5, "message": message, "details": []}, "object"


def _page(listed: list[Any], query: dict[str, str], field: str, kind: str) -> tuple[int, Any, str]:
    """Pages of two, so that who reads the first only is found out."""
    start = int(query.get("page_token") or 0)
    page = {field: listed[start : start + 2], "total_size": len(listed)}
    if start + 2 < len(listed):
        page["next_page_token"] = str(start + 2)
    return 200, page, kind


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat()
