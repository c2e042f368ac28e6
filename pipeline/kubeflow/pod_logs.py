"""Reads the logs of the pods of a run from whichever source `--host` provides."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping

from errors import ClusterRefused
from pipeline.kubeflow.client import KubeflowClient, status_of
from pipeline.kubeflow.workflow import Pod

_KUBERNETES = "/api/v1/namespaces/{namespace}/pods/{pod}/log"
_API_SERVER = "/apis/v1alpha1/runs/{run}/nodes/{pod}/log"
_USER_INTERFACE = "/k8s/pod/logs"
_ARCHIVE = "/apis/v2beta1/runs/{run}/nodes/{node}/artifacts/main-logs:read"
_WEB_PAGES = ("<!doctype html", "<html")
_LONGEST = 200


class LogUnreadable(Exception):
    """A log cannot be read. The message is the reason, in one line."""


@dataclasses.dataclass(frozen=True)
class _Request:
    """A GET request for a log: the path of a source, the values of its placeholders, and the query."""

    path: str
    names: Mapping[str, str]
    query: Mapping[str, str]


class PodLogs:
    """The logs of the pods of one run.

    No source has all logs, according to the code of Kubeflow Pipelines 2.15.0, 2.16.1 and 2.17.0:

    - Kubernetes, if it is reachable through kubeconfig.
    - The API server (apiserver/main.go). With a single user, it searches without a namespace and does not find the pods
      (`ReadLog` and `getNamespaceFromRunId` in apiserver/resource/resource_manager.go).
    - The user interface, which forwards only v1beta1 and v2beta1 to the API server (frontend/server/app.ts).
    - The archive, to which Argo copies the log of an ended pod, if the cluster is configured for it, as in Kubeflow's
      manifests. The API server returns it as an artifact of the node, also through the user interface.
    """

    def __init__(self, cluster: KubeflowClient, run_id: str) -> None:
        """Sends no request yet."""
        self._cluster, self._run_id = cluster, run_id
        self._last = ""

    def text(self, pod: Pod, namespace: str, created: str) -> str:
        """Returns the current log of a pod.

        Args:
          pod: the pod.
          namespace: the namespace of the pod. Empty if it is not known.
          created: the day on which the run was created, YYYY-MM-DD. It is part of the path of archived logs.

        Raises:
          LogUnreadable: no source has the log.
          ServiceUnavailable: the server does not answer.
        """
        reasons: list[str] = []
        # The source of the last log most likely has this log.
        for request in sorted(self._requests(pod, namespace, created), key=lambda request: request.path != self._last):
            text = self._answer(request, reasons)
            if text is not None:
                self._last = request.path
                return text
        raise LogUnreadable(reasons[0][:_LONGEST])

    def _requests(self, pod: Pod, namespace: str, created: str) -> Iterator[_Request]:
        """Yields a request per source and per name that the pod may have."""
        for name in pod.names:
            if self._cluster.kubernetes and namespace:
                yield _Request(_KUBERNETES, {"namespace": namespace, "pod": name}, {"container": "main"})
            yield _Request(_API_SERVER, {"run": self._run_id, "pod": name}, {})
            query = {"podname": name, "runid": self._run_id, "podnamespace": namespace, "createdat": created}
            yield _Request(_USER_INTERFACE, {}, {key: value for key, value in query.items() if value})
        yield _Request(_ARCHIVE, {"run": self._run_id, "node": pod.node}, {})

    def _answer(self, request: _Request, reasons: list[str]) -> str | None:
        """Returns the log. If there is none, returns None and adds the reason to `reasons`."""
        host = self._cluster.kubernetes if request.path == _KUBERNETES else None
        try:
            text = self._cluster.get_text("show a log", request.path, request.names, request.query, host)
        except ClusterRefused as error:
            # A missing path or pod (404) explains least, so it goes last.
            reasons.insert(len(reasons) if status_of(error) == 404 else 0, str(error))
            return None
        if text.lstrip()[:20].lower().startswith(_WEB_PAGES):
            reasons.append(f"{self._cluster.host}: the response to a request for a log is a web page")
            return None
        if request.path == _ARCHIVE:
            return _artifact(text, reasons)
        if message := _error_message(text):
            reasons.insert(0, message)
            return None
        return text


def _artifact(text: str, reasons: list[str]) -> str | None:
    """Returns the content of an artifact: `ReadArtifact` in apiserver/server/run_artifact_server.go."""
    try:
        return base64.b64decode(json.loads(text)["data"]).decode("utf-8", "replace")
    except (ValueError, KeyError, TypeError) as error:
        reasons.append(f"the archived log cannot be read: {error!r}")
        return None


def _error_message(text: str) -> str:
    """Returns the error in a response that contains no log, or an empty string.

    `ReadRunLogV1` in apiserver/server/run_log_server.go sends status 200 before it searches for the log.
    """
    with contextlib.suppress(ValueError, AttributeError):
        return " ".join(str(json.loads(text).get("error_message") or "").split())
    return ""
