"""Runs a package for each span of a range on Kubeflow, oldest first, one run at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.parameters import SPAN
from pipeline.kubeflow.submission import PackageVersion, experiment_id

_ENDED_BADLY = ("FAILED", "CANCELED", "CANCELING", "SKIPPED")


@dataclasses.dataclass(frozen=True)
class PackageRuns:
    """The runs of one uploaded package in one experiment.

    Attributes:
      cluster: the server.
      version: the uploaded package.
      experiment: the display name of the experiment.
    """

    cluster: KubeflowClient
    version: PackageVersion
    experiment: str

    def __iter__(self) -> Iterator[_Run]:
        """Yields the runs, newest first."""
        cluster = self.cluster
        listed = cluster.list_all(
            "list runs",
            cluster.runs.run_service_list_runs,
            "runs",
            experiment_id=experiment_id(cluster, self.experiment),
            sort_by="created_at desc",
            **cluster.namespace_option(),
        )
        for run in listed:
            reference = run.pipeline_version_reference
            if reference is not None and reference.pipeline_version_id == self.version.version_id:
                values = run.runtime_config.parameters if run.runtime_config else None
                yield _Run(str(run.run_id), str(run.state), dict(values or {}))


@dataclasses.dataclass(frozen=True)
class _Run:
    run_id: str
    state: str
    values: Mapping[str, Any]


def backfill(
    runs: PackageRuns,
    wanted: Sequence[Mapping[str, Any]],
    begin: Callable[[Mapping[str, Any]], str],
    follow: Callable[[str], str],
    say: Callable[[str], None],
) -> bool:
    """Runs each span after the one before has succeeded.

    A span that a run of the same package with the same parameters has finished is left out, and one that still runs is
    followed. So the same command continues after an interruption.

    Args:
      runs: the runs of the package.
      wanted: the parameters of each run with its span, in order.
      begin: starts a run with these parameters, and returns its id.
      follow: follows a run with this id to its end, and returns its final state in API v2beta1.
      say: prints a line.

    Returns:
      Whether every span has succeeded. The first that has not ends the backfill.

    Raises:
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    known = list(runs)
    for values in wanted:
        span = values[SPAN]
        same = [run for run in known if run.values == values and run.state not in _ENDED_BADLY]
        if done := next((run for run in same if run.state == "SUCCEEDED"), None):
            say(f"span {span}: run {done.run_id} has succeeded")
            continue
        run_id = same[0].run_id if same else begin(values)
        say(": ".join(filter(None, [f"span {span}: run {run_id}", runs.cluster.run_url(run_id)])))
        if (state := follow(run_id)) != "SUCCEEDED":
            say(f"span {span}: {state.lower()}, so the backfill stops; give the same command again to continue with it")
            return False
    return True
