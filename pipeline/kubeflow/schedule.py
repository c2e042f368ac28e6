"""Recurring runs on a cron schedule, with bounded concurrency. Missed runs are skipped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import kfp_server_api as api

from errors import ClusterRefused, ConfigError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.submission import PackageVersion, experiment_id, reference

_FIELD = re.compile(r"[0-9A-Za-z*/,?\-]+")


def six_fields(cron: str) -> str:
    """Returns `cron` in Kubeflow's form, which begins with seconds. Adds second 0 to the five fields of crontab.

    Raises:
      ConfigError: `cron` does not have five or six fields, or it contains invalid characters.
    """
    fields = cron.split()
    if cron.startswith("@") and len(fields) in (1, 2):
        return cron
    if len(fields) not in (5, 6) or not all(_FIELD.fullmatch(field) for field in fields):
        raise ConfigError(
            f'--cron: must have five fields, or six with seconds first, such as "0 3 * * *" (got {cron!r})'
        )
    return " ".join(fields if len(fields) == 6 else ["0", *fields])


def create(
    cluster: KubeflowClient,
    name: str,
    package: Package,
    version: PackageVersion,
    cron: str,
    experiment: str,
    values: Mapping[str, Any],
    max_concurrency: int,
    account: str | None,
) -> bool:
    """Creates the recurring run `name`.

    Args:
      cluster: the server.
      name: the display name of the recurring run.
      package: the compiled package.
      version: the uploaded package.
      cron: five or six fields, see `six_fields`.
      experiment: the display name of the experiment.
      values: the run parameters by name.
      max_concurrency: how many runs may be active at the same time.
      account: the service account of the pods. None: the server's default.

    Returns:
      False if an identical recurring run already exists, otherwise True.

    Raises:
      ClusterRefused: a different recurring run has this name.
      ServiceUnavailable: see `KubeflowClient.call`.
    """
    cron = six_fields(cron)
    taken = _named(cluster, name)
    if taken:
        if len(taken) == 1 and _is_as_wanted(taken[0], version, cron, values, max_concurrency):
            return False
        raise ClusterRefused(
            f"schedule {name}: the name is taken; choose another, or delete it with "
            f"`{cluster.command('schedule', 'delete', name)}`"
        )
    wanted = api.V2beta1RecurringRun(
        display_name=name,
        description=f"{package.version}, by kindred schedule",
        experiment_id=experiment_id(cluster, experiment),
        pipeline_version_reference=reference(version),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(values)),
        service_account=account,
        max_concurrency=str(max_concurrency),
        no_catchup=True,
        mode=api.RecurringRunMode.ENABLE,
        trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron)),
    )
    cluster.call(f"create schedule {name}", cluster.recurring_runs.recurring_run_service_create_recurring_run, wanted)
    return True


def rows(cluster: KubeflowClient) -> list[tuple[str, str, str, str]]:
    """Returns the name, state, cron and id of every recurring run, sorted by name."""
    return sorted(
        (run.display_name or "", (run.status or "").lower(), _cron(run) or "periodic", run.recurring_run_id)
        for run in _all(cluster)
    )


def pause(cluster: KubeflowClient, name: str) -> None:
    """Stops new runs until the schedule is resumed. Idempotent."""
    _change(cluster, name, "pause", cluster.recurring_runs.recurring_run_service_disable_recurring_run)


def resume(cluster: KubeflowClient, name: str) -> None:
    """Allows new runs again. Idempotent."""
    _change(cluster, name, "resume", cluster.recurring_runs.recurring_run_service_enable_recurring_run)


def delete(cluster: KubeflowClient, name: str) -> None:
    """Deletes the recurring run. The runs that it started stay."""
    _change(cluster, name, "delete", cluster.recurring_runs.recurring_run_service_delete_recurring_run)


def _change(cluster: KubeflowClient, name: str, verb: str, call: Any) -> None:
    found = _named(cluster, name)
    if not found:
        raise ClusterRefused(
            f"schedule {name}: does not exist; `{cluster.command('schedule', 'list')}` lists all schedules"
        )
    for run in found:
        cluster.call(f"{verb} schedule {name}", call, run.recurring_run_id)


def _all(cluster: KubeflowClient) -> list[Any]:
    call = cluster.recurring_runs.recurring_run_service_list_recurring_runs
    return list(cluster.list_all("list schedules", call, "recurring_runs", **cluster.namespace_option()))


def _named(cluster: KubeflowClient, name: str) -> list[Any]:
    return [run for run in _all(cluster) if run.display_name == name]


def _cron(run: Any) -> str | None:
    schedule = run.trigger.cron_schedule if run.trigger else None
    return schedule.cron if schedule else None


def _is_as_wanted(
    run: Any, version: PackageVersion, cron: str, values: Mapping[str, Any], max_concurrency: int
) -> bool:
    versions = run.pipeline_version_reference
    parameters = (run.runtime_config.parameters if run.runtime_config else None) or {}
    return (
        versions is not None
        and versions.pipeline_version_id == version.version_id
        and _cron(run) == cron
        and dict(parameters) == dict(values)
        and str(run.max_concurrency) == str(max_concurrency)
    )
