"""Uploads a package once, however often it is submitted, and starts a run of it."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kfp_server_api as api

from errors import ClusterRefused
from pipeline.kubeflow.client import KubeflowClient, status_of
from pipeline.kubeflow.package import Package, task_names


@dataclasses.dataclass(frozen=True)
class PackageVersion:
    """A package on a server.

    Attributes:
      pipeline_id: the id of the pipeline.
      version_id: the id of the pipeline version.
      is_new: whether this submission uploaded it.
    """

    pipeline_id: str
    version_id: str
    is_new: bool


def upload(cluster: KubeflowClient, package: Package) -> PackageVersion:
    """Uploads `package` unless the server already has it.

    Args:
      cluster: the server.
      package: the compiled package.

    Returns:
      The version of the pipeline that contains exactly this package.

    Raises:
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    pipeline_id = _pipeline(cluster, package.name)
    if found := _find_version(cluster, pipeline_id, package.version):
        return PackageVersion(pipeline_id, found, is_new=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{package.version}.yaml")
        file.write_text(package.text, encoding="utf-8")
        try:
            uploaded = cluster.call(
                f"accept version {package.version}",
                cluster.uploads.upload_pipeline_version,
                str(file),
                name=package.version,
                pipelineid=pipeline_id,
            )
        except ClusterRefused as error:
            # Another user uploaded it at the same time.
            if status_of(error) == 409 and (found := _find_version(cluster, pipeline_id, package.version)):
                return PackageVersion(pipeline_id, found, is_new=False)
            raise
    return PackageVersion(pipeline_id, uploaded.pipeline_version_id, is_new=True)


def start(
    cluster: KubeflowClient,
    package: Package,
    version: PackageVersion,
    experiment: str,
    values: Mapping[str, Any],
    account: str | None,
) -> str:
    """Starts a run of `version`.

    Args:
      cluster: the server.
      package: the compiled package. Its name begins the display name of the run.
      version: the uploaded package.
      experiment: the display name of the experiment, which is created if it does not exist.
      values: the run parameters by name.
      account: the service account of the pods. None: the server's default.

    Returns:
      The id of the run, a UUID.

    Raises:
      ClusterRefused, ServiceUnavailable: see `KubeflowClient.call`.
    """
    run = api.V2beta1Run(
        display_name=f"{package.name} {time.strftime('%Y-%m-%d %H:%M:%S')}",
        experiment_id=experiment_id(cluster, experiment),
        pipeline_version_reference=reference(version),
        runtime_config=api.V2beta1RuntimeConfig(parameters=dict(values)),
        service_account=account,
    )
    return str(cluster.call("start a run", cluster.runs.run_service_create_run, run).run_id)


def task_names_of(cluster: KubeflowClient, run_id: str) -> dict[str, str]:
    """Returns the display name of each task of a run. Empty if the server does not show the package.

    Raises:
      ClusterRefused: the run does not exist, or the server refuses the request.
      ServiceUnavailable: see `KubeflowClient.call`.
    """
    run = cluster.call(f"show run {run_id}", cluster.runs.run_service_get_run, run_id)
    spec, version = run.pipeline_spec, run.pipeline_version_reference
    with contextlib.suppress(ClusterRefused, KeyError, TypeError, AttributeError):
        if spec is None:
            show = cluster.pipelines.pipeline_service_get_pipeline_version
            names = (version.pipeline_id, version.pipeline_version_id)
            spec = cluster.call("show its package", show, *names).pipeline_spec
        # With a second document for the platform, the server wraps both: `YamlStringToPipelineSpecStruct` in
        # apiserver/server/api_util.go, Kubeflow Pipelines 2.15.0 to 2.17.0.
        return task_names(spec.get("pipeline_spec", spec))
    return {}


def reference(version: PackageVersion) -> Any:
    """Returns the reference to `version` for a run."""
    return api.V2beta1PipelineVersionReference(pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id)


def experiment_id(cluster: KubeflowClient, name: str) -> str:
    """Returns the id of the experiment `name`. Creates the experiment if it does not exist."""
    experiments = cluster.experiments
    listed = cluster.list_all(
        "list experiments", experiments.experiment_service_list_experiments, "experiments", **cluster.namespace_option()
    )
    for experiment in listed:
        if experiment.display_name == name:
            return str(experiment.experiment_id)
    wanted = api.V2beta1Experiment(display_name=name, namespace=cluster.namespace)
    made = cluster.call(f"create experiment {name}", experiments.experiment_service_create_experiment, wanted)
    return str(made.experiment_id)


def _pipeline(cluster: KubeflowClient, name: str) -> str:
    """Returns the id of the pipeline `name`. Creates the pipeline if it does not exist."""
    find = cluster.pipelines.pipeline_service_get_pipeline_by_name
    found = cluster.find(f"find pipeline {name}", find, name, **cluster.namespace_option())
    if found is None:
        # Servers before 2.14 do not know `name`. Newer servers use the display name in its place.
        wanted = api.V2beta1Pipeline(display_name=name, namespace=cluster.namespace)
        try:
            create = cluster.pipelines.pipeline_service_create_pipeline
            found = cluster.call(f"create pipeline {name}", create, wanted)
        except ClusterRefused as error:
            if status_of(error) != 409:
                raise
            found = cluster.call(f"find pipeline {name}", find, name, **cluster.namespace_option())
    return str(found.pipeline_id)


def _find_version(cluster: KubeflowClient, pipeline_id: str, name: str) -> str | None:
    listed = cluster.list_all(
        "list versions",
        cluster.pipelines.pipeline_service_list_pipeline_versions,
        "pipeline_versions",
        pipeline_id,
        sort_by="created_at desc",
    )
    return next((str(v.pipeline_version_id) for v in listed if name in (v.name, v.display_name)), None)
