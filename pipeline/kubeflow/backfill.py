"""Runs a package for each span of a range on Kubeflow, oldest first, one run at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

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


@dataclasses.dataclass(frozen=True)
class EndedSpan:
    """How the run of a span ended.

    Attributes:
      span: the span.
      run_id: the run.
      state: its final state in API v2beta1.
    """

    span: str
    run_id: str
    state: str

    @property
    def is_well(self) -> bool:
        """Whether it succeeded."""
        return self.state == "SUCCEEDED"

    def to_json(self) -> dict[str, str]:
        """Returns the attributes by name."""
        return dataclasses.asdict(self)


class Say(Protocol):
    """Prints a line. `matters` is true for a line about a failure."""

    def __call__(self, text: str, matters: bool = False) -> None:
        """Prints `text`."""


def backfill(
    runs: PackageRuns,
    wanted: Sequence[Mapping[str, Any]],
    begin: Callable[[Mapping[str, Any]], str],
    follow: Callable[[str], str],
    say: Say,
) -> list[EndedSpan]:
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
      How each span ended. The first that has not succeeded is the last one.

    Raises:
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    known, ended = list(runs), []
    for values in wanted:
        span = values[SPAN]
        same = [run for run in known if run.values == values and run.state not in _ENDED_BADLY]
        if done := next((run for run in same if run.state == "SUCCEEDED"), None):
            say(f"span {span}: run {done.run_id} has succeeded")
            ended.append(EndedSpan(span, done.run_id, done.state))
            continue
        run_id = same[0].run_id if same else begin(values)
        say(": ".join(filter(None, [f"span {span}: run {run_id}", runs.cluster.run_url(run_id)])))
        ended.append(EndedSpan(span, run_id, follow(run_id)))
        if not ended[-1].is_well:
            why = f"{ended[-1].state.lower()}, so the backfill stops"
            say(f"span {span}: {why}; give the same command again to continue with it", matters=True)
            break
    return ended
