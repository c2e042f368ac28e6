"""The logs of the pods of a run, read through Kubeflow's API server or through its user interface."""

from __future__ import annotations

import contextlib
import json

from errors import ClusterRefused
from pipeline.kubeflow.client import Cluster, status_of

_API_SERVER = "/apis/v1alpha1/runs/{run}/nodes/{pod}/log"
_USER_INTERFACE = "/k8s/pod/logs"
_WEB_PAGES = ("<!doctype html", "<html")
_LONGEST = 300


class LogUnreadable(Exception):
    """A log cannot be read, now or ever. The message is the reason, in one line."""


class PodLogs:
    """The logs of the pods of one run.

    The API server has a path for them (apiserver/main.go, Kubeflow Pipelines 2.15.0 to 2.17.0). The user interface
    passes nothing below v1alpha1 on to it, and has a path of its own (frontend/server/app.ts, same versions).
    """

    def __init__(self, cluster: Cluster, run_id: str) -> None:
        """Reads nothing yet."""
        self._cluster, self._run_id = cluster, run_id
        self._is_user_interface = False

    def text(self, pod: str, namespace: str, created: str) -> str:
        """Returns the log of a pod, as far as it goes by now.

        Args:
          pod: its name.
          namespace: its namespace; empty for that of the user interface.
          created: the day on which the run was created, YYYY-MM-DD, which is part of where logs are archived.

        Raises:
          LogUnreadable: there is no such pod, or no log of it.
          ServiceUnavailable: the server does not answer.
        """
        text = None if self._is_user_interface else self._from_api_server(pod)
        if text is None:
            text = self._from_user_interface(pod, namespace, created)
            self._is_user_interface = True
        return text

    def _from_api_server(self, pod: str) -> str | None:
        """The log; None where the host has no such path."""
        # The path calls it a node, and `ReadLog` in apiserver/resource/resource_manager.go takes it for a pod's name.
        try:
            text = self._cluster.text("show a log", _API_SERVER, {"run": self._run_id, "pod": pod})
        except ClusterRefused as error:
            if status_of(error) == 404:
                return None
            raise LogUnreadable(str(error)) from None
        if _is_web_page(text):
            return None
        with contextlib.suppress(ValueError, AttributeError):
            # The status is 200 whatever follows: `ReadRunLogV1` in apiserver/server/run_log_server.go writes it first.
            if message := json.loads(text).get("error_message"):
                raise LogUnreadable(" ".join(str(message).split())[:_LONGEST])
        return text

    def _from_user_interface(self, pod: str, namespace: str, created: str) -> str:
        query = {"podname": pod, "runid": self._run_id, "podnamespace": namespace, "createdat": created}
        try:
            text = self._cluster.text("show a log", _USER_INTERFACE, {}, {k: v for k, v in query.items() if v})
        except ClusterRefused as error:
            raise LogUnreadable(str(error)) from None
        if _is_web_page(text):
            raise LogUnreadable(f"{self._cluster.host}: answers with a web page when asked for a log")
        return text


def _is_web_page(text: str) -> bool:
    return text.lstrip()[:20].lower().startswith(_WEB_PAGES)
