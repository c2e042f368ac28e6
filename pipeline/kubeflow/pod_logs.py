"""The logs of the pods of a run, read wherever the host that `--host` names has them."""

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
    """A log cannot be read, now or ever. The message is the reason, in one line."""


@dataclasses.dataclass(frozen=True)
class _Request:
    """A GET that may give a log. `path` is that of a source, `names` and `query` complete it."""

    path: str
    names: Mapping[str, str]
    query: Mapping[str, str]


class PodLogs:
    """The logs of the pods of one run.

    No place has them all, by the sources of Kubeflow Pipelines 2.15.0, 2.16.1 and 2.17.0:

    - Kubernetes, where kubeconfig reaches it.
    - The API server (apiserver/main.go). On a server of one user it looks for pods in no namespace, and finds none
      (`ReadLog` and `getNamespaceFromRunId` in apiserver/resource/resource_manager.go).
    - The user interface, which passes only v1beta1 and v2beta1 on to the API server (frontend/server/app.ts).
    - The archive, to which Argo copies the log of a pod that ended, if the cluster is set up for it, as Kubeflow's
      manifests do. The API server shows it as an artifact of the node, behind the user interface, too.
    """

    def __init__(self, cluster: KubeflowClient, run_id: str) -> None:
        """Reads nothing yet."""
        self._cluster, self._run_id = cluster, run_id
        self._last = ""

    def text(self, pod: Pod, namespace: str, created: str) -> str:
        """Returns the log of a pod, as far as it goes by now.

        Args:
          pod: the pod.
          namespace: its namespace; empty if it is not known.
          created: the day on which the run was created, YYYY-MM-DD, which is part of where logs are archived.

        Raises:
          LogUnreadable: no source has it.
          ServiceUnavailable: the server does not answer.
        """
        reasons: list[str] = []
        # What gave the last log most likely gives this one.
        for request in sorted(self._requests(pod, namespace, created), key=lambda request: request.path != self._last):
            text = self._answer(request, reasons)
            if text is not None:
                self._last = request.path
                return text
        raise LogUnreadable(reasons[0][:_LONGEST])

    def _requests(self, pod: Pod, namespace: str, created: str) -> Iterator[_Request]:
        """One per source, and per name that the pod may have."""
        for name in pod.names:
            if self._cluster.kubernetes and namespace:
                yield _Request(_KUBERNETES, {"namespace": namespace, "pod": name}, {"container": "main"})
            yield _Request(_API_SERVER, {"run": self._run_id, "pod": name}, {})
            query = {"podname": name, "runid": self._run_id, "podnamespace": namespace, "createdat": created}
            yield _Request(_USER_INTERFACE, {}, {key: value for key, value in query.items() if value})
        yield _Request(_ARCHIVE, {"run": self._run_id, "node": pod.node}, {})

    def _answer(self, request: _Request, reasons: list[str]) -> str | None:
        """The log that a request gives; None, and a reason more, if it gives none."""
        host = self._cluster.kubernetes if request.path == _KUBERNETES else None
        try:
            text = self._cluster.text("show a log", request.path, request.names, request.query, host)
        except ClusterRefused as error:
            # Which hosts lack a path, and which pods are gone, explains least.
            reasons.insert(len(reasons) if status_of(error) == 404 else 0, str(error))
            return None
        if text.lstrip()[:20].lower().startswith(_WEB_PAGES):
            reasons.append(f"{self._cluster.host}: answers with a web page when asked for a log")
            return None
        if request.path == _ARCHIVE:
            return _artifact(text, reasons)
        if message := _error_message(text):
            reasons.insert(0, message)
            return None
        return text


def _artifact(text: str, reasons: list[str]) -> str | None:
    """The content of an artifact: `ReadArtifact` in apiserver/server/run_artifact_server.go."""
    try:
        return base64.b64decode(json.loads(text)["data"]).decode("utf-8", "replace")
    except (ValueError, KeyError, TypeError) as error:
        reasons.append(f"the archived log cannot be read: {error!r}")
        return None


def _error_message(text: str) -> str:
    """The error that stands in the place of a log.

    `ReadRunLogV1` in apiserver/server/run_log_server.go answers with status 200 before it looks for the log.
    """
    with contextlib.suppress(ValueError, AttributeError):
        return " ".join(str(json.loads(text).get("error_message") or "").split())
    return ""
