"""What a server shows of a run while it goes on, and for how long it may be away."""

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
"""Seconds for which the server may be away while a run is followed. The run goes on meanwhile."""


class RunView:
    """A run as the server shows it.

    Attributes:
      state: its state, of API v2beta1.
      error: what the server says is wrong with it.
      created: the day on which it was created, YYYY-MM-DD.
      workflow: what is known of its tasks.
      was_cancelled: whether somebody cancelled it. Kubeflow ends such a run as failed.
    """

    def __init__(self, cluster: KubeflowClient, run_id: str, names: Mapping[str, str]) -> None:
        """Asks nothing yet. `names` are the names for people of the tasks of the package."""
        self.cluster, self.run_id = cluster, run_id
        self.state = self.error = self.created = ""
        self.workflow = Workflow()
        self.was_cancelled = False
        self._names = names
        self._seen: Any = None

    def look(self, say: Callable[[str], None], wait: Callable[[], None]) -> None:
        """Brings the attributes up to date. Waits while the server is away, and says so once.

        Raises:
          ServiceUnavailable: the server stays away, or refuses to show the run any longer.
        """
        away_since: float | None = None
        while (error := self._failure()) is not None:
            self._give_up_in_time(error, away_since)
            if away_since is None:
                say(f"{self.cluster.host} does not answer; still following")
                away_since = time.monotonic()
            wait()
        if away_since is not None:
            say(f"{self.cluster.host} answers again")

    def _failure(self) -> ServiceUnavailable | ClusterRefused | None:
        """Reads the run once. Returns why it cannot be read."""
        try:
            self._read(self.cluster.ask("show the run", self.cluster.runs.run_service_get_run, self.run_id))
        except (ServiceUnavailable, ClusterRefused) as error:
            return error
        return None

    def _give_up_in_time(self, error: ServiceUnavailable | ClusterRefused, away_since: float | None) -> None:
        """Raises the error where waiting does not help, or has not for too long."""
        is_away = isinstance(error, ServiceUnavailable) or (status_of(error) or 0) >= 500
        if is_away and (away_since is None or time.monotonic() - away_since < PATIENCE):
            return
        raise ServiceUnavailable(
            f"{error}; run {self.run_id} goes on, and "
            f"`{self.cluster.command('submit', '--follow', self.run_id)}` follows it again"
        ) from None

    def _read(self, run: Any) -> None:
        details = list(run.run_details.task_details or ()) if run.run_details else []
        seen = (run.state, sorted((str(d.display_name), str(d.state), len(d.child_tasks or ())) for d in details))
        # The workflow is large, so it is read only when it must have changed.
        if seen != self._seen:
            self.workflow = self._whole_workflow() or workflow_of_details(details, self._names)
        self._seen = seen
        self.state = str(run.state)
        self.error = " ".join((run.error.message or "").split()) if run.error else ""
        self.created = run.created_at.strftime("%Y-%m-%d") if run.created_at else ""
        states = {run.state, *(status.state for status in run.state_history or ())}
        self.was_cancelled |= self.workflow.is_cancelled or bool(states & {"CANCELING", "CANCELED"})

    def _whole_workflow(self) -> Workflow | None:
        """The workflow, which is part of API v1beta1 alone; None if the server does not show it."""
        # `GetRunV1` in apiserver/server/run_server.go, Kubeflow Pipelines 2.15.0 to 2.17.0.
        with contextlib.suppress(ClusterRefused, ValueError, KeyError, TypeError):
            answer = self.cluster.text("show the workflow", "/apis/v1beta1/runs/{run}", {"run": self.run_id})
            return read_workflow(json.loads(answer)["pipeline_runtime"]["workflow_manifest"])
        return None
