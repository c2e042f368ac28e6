"""The state of a run on a server, and how long the server may be unreachable."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from errors import ClusterRefused, ServiceUnavailable
from pipeline.kubeflow.client import KubeflowClient, status_of
from pipeline.kubeflow.workflow import Workflow, read_workflow, workflow_of_details

PATIENCE = 600.0
"""Seconds for which the server may be unreachable while a run is followed. The run continues meanwhile."""
PATIENCE_WITH_REFUSALS = 120.0
"""Seconds for which the server may refuse to show the run, as while a token is renewed or its database is restored."""


class RunView:
    """A run on a server.

    Attributes:
      state: the state in API v2beta1.
      error: the error that the server reports. Empty if there is none.
      created: the day of its creation, YYYY-MM-DD.
      workflow: the tasks of the run.
      was_cancelled: whether somebody cancelled it. Kubeflow marks such a run as failed.
    """

    def __init__(self, cluster: KubeflowClient, run_id: str, names: Mapping[str, str]) -> None:
        """Sends no request yet. `names` are the display names of the tasks in the package."""
        self.cluster, self.run_id = cluster, run_id
        self.state = self.error = self.created = ""
        self.workflow = Workflow()
        self.was_cancelled = False
        self._names = names
        self._seen: Any = None

    def look(self, say: Callable[[str], None], wait: Callable[[], None]) -> None:
        """Updates the attributes. Waits while the server does not show the run, and reports that once.

        Args:
          say: prints a message.
          wait: waits before the next attempt.

        Raises:
          ServiceUnavailable: the server stays unreachable, or refuses to show the run.
        """
        away_since: float | None = None
        while (error := self._failure()) is not None:
            self._give_up_in_time(error, away_since)
            if away_since is None:
                say(f"{error if _is_refusal(error) else f'{self.cluster.host} does not answer'}; still following")
                away_since = time.monotonic()
            wait()
        if away_since is not None:
            say(f"{self.cluster.host} answers again")

    def refresh(self) -> None:
        """Updates the attributes, without waiting for the server.

        Raises:
          ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
        """
        self._read(self.cluster.call("show the run", self.cluster.runs.run_service_get_run, self.run_id))

    def _failure(self) -> ServiceUnavailable | ClusterRefused | None:
        """Reads the run once. Returns the error if it cannot be read."""
        try:
            self.refresh()
        except (ServiceUnavailable, ClusterRefused) as error:
            return error
        return None

    def _give_up_in_time(self, error: ServiceUnavailable | ClusterRefused, away_since: float | None) -> None:
        """Raises the error if waiting has lasted too long."""
        patience = PATIENCE_WITH_REFUSALS if _is_refusal(error) else PATIENCE
        if away_since is None or time.monotonic() - away_since < patience:
            return
        raise ServiceUnavailable(
            f"{error}; run {self.run_id} continues; "
            f"`{self.cluster.command('submit', '--follow', self.run_id)}` follows it again"
        ) from None

    def _read(self, run: Any) -> None:
        details = list(run.run_details.task_details or ()) if run.run_details else []
        seen = (run.state, sorted((str(d.display_name), str(d.state), len(d.child_tasks or ())) for d in details))
        # The workflow is large. Read it only if the run has changed.
        if seen != self._seen:
            self.workflow = self._whole_workflow() or workflow_of_details(details, self._names)
        self._seen = seen
        self.state = str(run.state)
        self.error = " ".join((run.error.message or "").split()) if run.error else ""
        self.created = run.created_at.strftime("%Y-%m-%d") if run.created_at else ""
        states = {run.state, *(status.state for status in run.state_history or ())}
        self.was_cancelled |= self.workflow.is_cancelled or bool(states & {"CANCELING", "CANCELED"})

    def _whole_workflow(self) -> Workflow | None:
        """Returns the workflow, which only API v1beta1 has, or None if the server does not show it."""
        # `GetRunV1` in apiserver/server/run_server.go, Kubeflow Pipelines 2.15.0 to 2.17.0.
        with contextlib.suppress(ClusterRefused, ValueError, KeyError, TypeError):
            answer = self.cluster.get_text("show the workflow", "/apis/v1beta1/runs/{run}", {"run": self.run_id})
            return read_workflow(json.loads(answer)["pipeline_runtime"]["workflow_manifest"])
        return None


def _is_refusal(error: ServiceUnavailable | ClusterRefused) -> bool:
    """Returns whether the server answers, and refuses the request."""
    return isinstance(error, ClusterRefused) and (status_of(error) or 0) < 500
