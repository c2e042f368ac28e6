"""A fake server of Kubeflow's API v2beta1. Checks every request and response against the published schema.

A run goes through `script`, one state per request. Logs and the workflow of a run are not in the schema. They follow
the sources of Kubeflow Pipelines 2.15.0, 2.16.1 and 2.17.0. Comments name the files.
"""

from __future__ import annotations

import base64
import datetime
import http.server
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from tests.unit.pipeline.kubeflow.fake_http import Answer, Text, handler_of, refusal
from tests.unit.pipeline.kubeflow.fake_workflow import FakeWorkflow
from tests.unit.pipeline.kubeflow.kubeflow_schema import check


class FakeKubeflow:
    """The server.

    Attributes:
      requests: method and path of each request.
      headers: the headers of each request.
      script: the responses to requests for a run. Each has fields of V2beta1Run, a FakeWorkflow as `workflow`, and
        optionally `details`, another workflow for `task_details`.
      token: the required token, if any.
      is_user_interface: whether this is the host of the user interface, which forwards v1beta1 and v2beta1.
      has_v1beta1: whether the server has API v1beta1.
      has_archive: whether Argo archives logs, as in the manifests of Kubeflow Pipelines.
      log_misses: how many requests for a log fail.
      stored: the text of each object, which the user interface serves.
      base: the prefix of every path, as behind a proxy. The host of the Kubernetes proxy also has its own API.
    """

    def __init__(self) -> None:
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.broken: list[str] = []
        self.script: list[dict[str, Any]] = [{"state": "SUCCEEDED"}]
        self.token: str | None = None
        self.multi_user = False
        self.is_user_interface = False
        self.has_v1beta1 = True
        self.has_archive = True
        self.log_misses = 0
        self.stored: dict[str, str] = {}
        self.base = ""
        self.log_queries: list[dict[str, str]] = []
        self._workflow: FakeWorkflow | None = None
        self.version = "2.15.2"
        self.failures: list[tuple[int, Any]] = []
        self.failing = ""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self.root}{self.base}"

    @property
    def root(self) -> str:
        scheme = "https" if isinstance(self._server.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self._server.server_port}"

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Accepts only connections with TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert not self.broken, self.broken

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """Returns the status, the response and its kind."""
        for wanted, pattern, route in (*self._routes(), *self._routes_beside_the_schema()):
            found = re.fullmatch(pattern if pattern.startswith("/") else "/apis/v2beta1/" + pattern, path)
            if wanted == method and found:
                return route(*found.groups(), query=query, body=body)
        if self.is_user_interface:
            return 404, f"<!DOCTYPE html><pre>Cannot {method} {path}</pre>", "object"
        if path.startswith("/apis/"):
            return 404, {"code": 5, "message": "Not Found"}, "object"
        return 404, Text("404 page not found\n"), "object"

    def _routes(self) -> Iterator[tuple[str, str, Callable[..., Answer]]]:
        yield "GET", "healthz", lambda **_: (200, self._health(), "object")
        yield "GET", "pipelines/names/([^/]+)", self._pipeline_by_name
        yield "POST", "pipelines", self._create_pipeline
        yield "GET", "pipelines/([^/]+)/versions", self._list_versions
        yield "GET", "pipelines/([^/]+)/versions/([^/]+)", self._get_version
        yield "POST", "pipelines/upload_version", self._upload
        yield "GET", "experiments", self._lister(self.experiments, "V2beta1ListExperimentsResponse", "experiments")
        yield "POST", "experiments", self._creator(self.experiments, "V2beta1Experiment", "experiment_id")
        yield "POST", "runs", self._creator(self.runs, "V2beta1Run", "run_id")
        yield "GET", "runs", self._lister(self.runs, "V2beta1ListRunsResponse", "runs")
        yield "GET", "runs/([^/]+)", self._get_run
        yield "GET", "recurringruns", self._lister(self.recurring, "V2beta1ListRecurringRunsResponse", "recurringRuns")
        yield "POST", "recurringruns", self._creator(self.recurring, "V2beta1RecurringRun", "recurring_run_id")
        yield "POST", "recurringruns/([^/]+):(enable|disable)", self._switch
        yield "DELETE", "recurringruns/([^/]+)", self._delete

    def _routes_beside_the_schema(self) -> Iterator[tuple[str, str, Callable[..., Answer]]]:
        if self.has_v1beta1:
            yield "GET", "/apis/v1beta1/runs/([^/]+)", self._get_run_of_v1
        # apiserver/main.go has the first two, frontend/server/app.ts the third and nothing below v1alpha1.
        yield "GET", "/apis/v2beta1/runs/([^/]+)/nodes/([^/]+)/artifacts/([^/]+):read", self._artifact
        if self.is_user_interface:
            yield "GET", "/k8s/pod/logs", self._log_of_user_interface
            yield "GET", "/artifacts/get", self._stored
        else:
            yield "GET", "/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log", self._log_of_api_server
        if "/services/" in self.base:
            yield "GET", "/api/v1/namespaces/([^/]+)/pods/([^/]+)/log", self._log_of_kubernetes

    def _health(self) -> dict[str, Any]:
        # The server returns fields that the schema lacks: main.go of the API server, release 2.15.
        return {"tag_name": self.version, "multi_user": self.multi_user, "pipeline_store": "database"}

    def _pipeline_by_name(self, name: str, query: dict[str, str], body: Any) -> Answer:
        found = [p for p in self.pipelines.values() if p["name"] == name]
        return (200, found[0], "V2beta1Pipeline") if found else refusal(404, f"Pipeline {name} not found")

    def _create_pipeline(self, query: dict[str, str], body: Any) -> Answer:
        check(body, "V2beta1Pipeline")
        name = body.get("name") or body["display_name"]
        if any(p["name"] == name for p in self.pipelines.values()):
            return refusal(409, f"The name {name} already exist")
        made = {**body, "name": name, "pipeline_id": str(uuid.uuid4()), "created_at": _now()}
        self.pipelines[made["pipeline_id"]] = made
        return 200, made, "V2beta1Pipeline"

    def _list_versions(self, pipeline_id: str, query: dict[str, str], body: Any) -> Answer:
        listed = [v for v in self.versions.values() if v["pipeline_id"] == pipeline_id]
        return _page(listed, query, "pipeline_versions", "V2beta1ListPipelineVersionsResponse")

    def _upload(self, query: dict[str, str], body: Any) -> Answer:
        if any(v["name"] == query["name"] for v in self.versions.values()):
            return refusal(409, f"The version {query['name']} already exist")
        version_id = str(uuid.uuid4())
        self.versions[version_id] = {
            "pipeline_version_id": version_id,
            "pipeline_id": query["pipelineid"],
            "name": query["name"],
            "display_name": query["name"],
            "created_at": _now(),
            "description": str(len(body)),
            "pipeline_spec": _pipeline_spec(body.decode()),
        }
        return 200, self.versions[version_id], "V2beta1PipelineVersion"

    def _get_version(self, pipeline: str, version: str, query: dict[str, str], body: Any) -> Answer:
        return 200, self.versions[version], "V2beta1PipelineVersion"

    def _get_run(self, run_id: str, query: dict[str, str], body: Any) -> Answer:
        if run_id not in self.runs:
            return refusal(404, f"Run {run_id} not found")
        state = dict(self.script.pop(0) if len(self.script) > 1 else self.script[0])
        self._workflow = state.pop("workflow", None)
        details = state.pop("details", self._workflow)
        if details is not None:
            state["run_details"] = {"task_details": details.details()}
        return 200, {**self.runs[run_id], **state}, "V2beta1Run"

    def _get_run_of_v1(self, run_id: str, query: dict[str, str], body: Any) -> Answer:
        # `toApiRunDetailV1` in apiserver/server/api_converter.go: a newly created run has no workflow.
        runtime = {"workflow_manifest": self._workflow.manifest()} if self._workflow else {}
        return 200, {"run": {"id": run_id}, "pipeline_runtime": runtime}, "object"

    def _log_of_api_server(self, run_id: str, pod: str, query: dict[str, str], body: Any) -> Answer:
        # `ReadLog` in apiserver/resource/resource_manager.go takes the node for the name of a pod. On a server of one
        # user, the experiment of a run has no namespace, so the pod is not found. The archive is found only if its
        # paths are those of config.json. `ReadRunLogV1` in apiserver/server/run_log_server.go has sent 200 before.
        log = self._log(pod) if self.multi_user else None
        if run_id not in self.runs or log is None:
            message = f"BadRequestError: Failed to read logs for run {run_id}: Failed to read logs from archive {pod}"
            log = json.dumps({"error_message": message, "error_details": message})
        return 200, Text(log), "object"

    def _artifact(self, run_id: str, node: str, name: str, query: dict[str, str], body: Any) -> Answer:
        # `ReadArtifact` in apiserver/server/run_artifact_server.go
        misses, self.log_misses = self.log_misses, max(self.log_misses - 1, 0)
        log = self._workflow.archive.get(node) if self._workflow and self.has_archive and not misses else None
        if name != "main-logs" or log is None:
            return 404, {"error_message": "artifact not found: <nil>", "error_details": "artifact not found"}, "object"
        return 200, {"data": base64.b64encode(log.encode()).decode()}, "object"

    def _log_of_kubernetes(self, namespace: str, pod: str, query: dict[str, str], body: Any) -> Answer:
        log = self._log(pod) if (namespace, query) == ("team", {"container": "main"}) else None
        if log is None:
            return refusal(404, f'pods "{pod}" not found')
        return 200, Text(log), "object"

    def _log_of_user_interface(self, query: dict[str, str], body: Any) -> Answer:
        # frontend/server/handlers/pod-logs.ts
        self.log_queries.append(query)
        if self.multi_user and "podnamespace" not in query:
            return 422, Text("podnamespace argument is required"), "object"
        log = self._log(query["podname"])
        if log is None:
            return 500, Text("Could not get main container logs: Error: Unable to retrieve workflow status"), "object"
        return 200, Text(log), "object"

    def _stored(self, query: dict[str, str], body: Any) -> Answer:
        # frontend/server/handlers/artifacts.ts: any failure of the object store is status 500.
        self.log_queries.append(query)
        text = self.stored.get(f"{query['source']}://{query['bucket']}/{query['key']}")
        return (500, Text("Failed to get object in bucket"), "object") if text is None else (200, text, "object")

    def _log(self, pod: str) -> str | None:
        if self.log_misses:
            self.log_misses -= 1
            return None
        return self._workflow.logs.get(pod) if self._workflow else None

    def _creator(self, kept: dict[str, dict[str, Any]], kind: str, key: str) -> Callable[..., Answer]:
        def create(query: dict[str, str], body: Any) -> Answer:
            check(body, kind)
            made = {**body, key: str(uuid.uuid4()), "created_at": _now()}
            if kind == "V2beta1RecurringRun":
                made["status"] = "ENABLED" if made["mode"] == "ENABLE" else "DISABLED"
            kept[made[key]] = made
            return 200, made, kind

        return create

    def _lister(self, kept: dict[str, dict[str, Any]], kind: str, field: str) -> Callable[..., Answer]:
        # Oldest first, unless the request asks for the opposite.
        return lambda query, body: _page(
            list(kept.values())[:: -1 if query.get("sort_by") == "created_at desc" else 1], query, field, kind
        )

    def _switch(self, run_id: str, verb: str, query: dict[str, str], body: Any) -> Answer:
        self.recurring[run_id]["status"] = verb.upper() + "D"
        return 200, {}, "object"

    def _delete(self, run_id: str, query: dict[str, str], body: Any) -> Answer:
        del self.recurring[run_id]
        return 200, {}, "object"


def _pipeline_spec(text: str) -> dict[str, Any]:
    """Wraps a package with a platform document: `YamlStringToPipelineSpecStruct` in apiserver/server/api_util.go."""
    documents = list(yaml.safe_load_all(text))
    return documents[0] if len(documents) == 1 else {"pipeline_spec": documents[0], "platform_spec": documents[1]}


def _page(listed: list[Any], query: dict[str, str], field: str, kind: str) -> Answer:
    """Returns a page of two elements, so that tests detect code that reads only the first page."""
    start = int(query.get("page_token") or 0)
    page = {field: listed[start : start + 2], "total_size": len(listed)}
    if start + 2 < len(listed):
        page["next_page_token"] = str(start + 2)
    return 200, page, kind


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat()
