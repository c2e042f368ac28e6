"""Recurring runs: by cron, without catching up on what was missed, and with bounded concurrency."""

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
    """`cron` as Kubeflow takes it, with seconds first; five fields, as crontab has them, get second 0.

    Raises:
      ConfigError: it has another number of fields, or characters that no field has.
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
    """Creates the recurring run `name`; False if it is there already, exactly as wanted.

    Raises:
      ClusterRefused: the name is taken by another.
    """
    cron = six_fields(cron)
    taken = _named(cluster, name)
    if taken:
        if len(taken) == 1 and _is_as_wanted(taken[0], version, cron, values, max_concurrency):
            return False
        raise ClusterRefused(
            f"schedule {name}: the name is taken; `{cluster.command('schedule', 'delete', name)}` removes it, "
            "or choose another"
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
    cluster.ask(f"make schedule {name}", cluster.recurring_runs.recurring_run_service_create_recurring_run, wanted)
    return True


def rows(cluster: KubeflowClient) -> list[tuple[str, str, str, str]]:
    """Name, state, cron and id of every recurring run, by name."""
    return sorted(
        (run.display_name or "", (run.status or "").lower(), _cron(run) or "periodic", run.recurring_run_id)
        for run in _all(cluster)
    )


def pause(cluster: KubeflowClient, name: str) -> None:
    """Starts no more runs until it is resumed; idempotent."""
    _change(cluster, name, "pause", cluster.recurring_runs.recurring_run_service_disable_recurring_run)


def resume(cluster: KubeflowClient, name: str) -> None:
    """Starts runs again; idempotent."""
    _change(cluster, name, "resume", cluster.recurring_runs.recurring_run_service_enable_recurring_run)


def delete(cluster: KubeflowClient, name: str) -> None:
    """Removes the recurring run; runs that it started stay."""
    _change(cluster, name, "delete", cluster.recurring_runs.recurring_run_service_delete_recurring_run)


def _change(cluster: KubeflowClient, name: str, verb: str, call: Any) -> None:
    found = _named(cluster, name)
    if not found:
        raise ClusterRefused(
            f"schedule {name}: there is none of that name; `{cluster.command('schedule', 'list')}` shows them"
        )
    for run in found:
        cluster.ask(f"{verb} schedule {name}", call, run.recurring_run_id)


def _all(cluster: KubeflowClient) -> list[Any]:
    call = cluster.recurring_runs.recurring_run_service_list_recurring_runs
    return list(cluster.pages("list schedules", call, "recurring_runs", **cluster.in_namespace()))


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
