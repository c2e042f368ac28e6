"""Runs a package for each span of a range on Kubeflow, oldest first, one run at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from errors import ClusterRefused
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.parameters import SPAN
from pipeline.kubeflow.submission import PackageVersion, experiment_id, start

_ENDED_BADLY = ("FAILED", "CANCELED", "CANCELING", "SKIPPED")


def backfill(
    cluster: KubeflowClient,
    package: Package,
    version: PackageVersion,
    experiment: str,
    values: Mapping[str, Any],
    account: str | None,
    spans: Iterable[object],
    follow: Callable[[str], str],
    say: Callable[[str], None],
) -> bool:
    """Runs each span after the one before has succeeded.

    A span that a run of the same package with the same parameters has finished is left out, and one that still runs is
    followed. So the same command continues after an interruption.

    Args:
      cluster: the server.
      package: the compiled package.
      version: the uploaded package.
      experiment: the display name of the experiment.
      values: the run parameters by name, without the span.
      account: the service account of the pods. None: the server's default.
      spans: the spans in order.
      follow: follows a run with this id to its end, and returns its final state in API v2beta1.
      say: prints a line.

    Returns:
      Whether every span has succeeded. The first that has not ends the backfill.

    Raises:
      ClusterRefused: the package has no parameter for the span, or see `KubeflowClient.call`.
      ServiceUnavailable: see `KubeflowClient.call`.
    """
    if SPAN not in package.parameters:
        raise ClusterRefused(f"--span: the package has no parameter {SPAN}; compile it with this version of Kindred")
    known = list(_runs(cluster, version, experiment))
    for span in map(str, spans):
        wanted = {**values, SPAN: span}
        same = [run for run in known if run.values == wanted and run.state not in _ENDED_BADLY]
        if done := next((run for run in same if run.state == "SUCCEEDED"), None):
            say(f"span {span}: run {done.run_id} has succeeded")
            continue
        run_id = same[0].run_id if same else start(cluster, package, version, experiment, wanted, account)
        say(": ".join(filter(None, [f"span {span}: run {run_id}", cluster.run_url(run_id)])))
        if (state := follow(run_id)) != "SUCCEEDED":
            say(f"span {span}: {state.lower()}, so the backfill stops; give the same command again to continue with it")
            return False
    return True


@dataclasses.dataclass(frozen=True)
class _Run:
    run_id: str
    state: str
    values: Mapping[str, Any]


def _runs(cluster: KubeflowClient, version: PackageVersion, experiment: str) -> Iterator[_Run]:
    """Yields the runs of a package in an experiment, newest first."""
    listed = cluster.list_all(
        "list runs",
        cluster.runs.run_service_list_runs,
        "runs",
        experiment_id=experiment_id(cluster, experiment),
        sort_by="created_at desc",
        **cluster.namespace_option(),
    )
    for run in listed:
        reference = run.pipeline_version_reference
        if reference is not None and reference.pipeline_version_id == version.version_id:
            values = run.runtime_config.parameters if run.runtime_config else None
            yield _Run(str(run.run_id), str(run.state), dict(values or {}))
