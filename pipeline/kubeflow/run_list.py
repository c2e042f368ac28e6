"""The runs on a server."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import datetime, timezone
from typing import Any

from pipeline.kubeflow.client import KubeflowClient


@dataclasses.dataclass(frozen=True)
class RemoteRun:
    """A run on a server.

    Attributes:
      run_id: its id.
      name: its display name.
      state: its state in API v2beta1, in lower case, such as succeeded.
      created: the time of its creation, ISO 8601 in UTC.
      seconds: its duration. None: it has not ended.
    """

    run_id: str
    name: str
    state: str
    created: str
    seconds: float | None


def newest(cluster: KubeflowClient, limit: int) -> list[RemoteRun]:
    """Returns the newest runs, oldest first. Reads no more pages than it needs.

    Raises:
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    listed = cluster.list_all(
        "list runs",
        cluster.runs.run_service_list_runs,
        "runs",
        sort_by="created_at desc",
        **cluster.namespace_option(),
    )
    return [_run(run) for run in itertools.islice(listed, limit)][::-1]


def _run(run: Any) -> RemoteRun:
    created: datetime | None = run.created_at
    # Until a run ends, the server reports 1970 (`ToModelRun` in apiserver/server/api_converter.go).
    has_ended = created is not None and run.finished_at is not None and run.finished_at >= created
    return RemoteRun(
        str(run.run_id),
        str(run.display_name or ""),
        str(run.state or "unknown").lower(),
        created.astimezone(timezone.utc).isoformat(timespec="seconds") if created else "",
        (run.finished_at - created).total_seconds() if has_ended else None,
    )
