"""The settings of a task on the cluster: resources, volumes, secrets, config maps, node selection, and metadata."""

from __future__ import annotations

import json
from typing import Any

from kfp import kubernetes

from errors import ConfigError
from pipeline.config import PipelineConfig
from pipeline.config.sections.kubeflow import Kubeflow, TaskResources
from pipeline.kubeflow.metadata import PASSWORD_VARIABLE, TLS_FOLDER


def equip(task: Any, kubeflow: Kubeflow, node_id: str) -> Any:
    """Applies section `kubeflow` to `task`, which runs node `node_id`, and returns the task."""
    wanted = kubeflow.task_of(node_id)
    _reserve(task, wanted)
    _describe(task, wanted)
    _place(task, wanted, f"kubeflow.components.{node_id}.node_affinity")
    _confine(task, wanted)
    _inject(task, kubeflow)
    for volume in kubeflow.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.mount)
    kubernetes.set_image_pull_policy(task, kubeflow.image_pull_policy)
    if kubeflow.image_pull_secret is not None:
        kubernetes.set_image_pull_secrets(task, [kubeflow.image_pull_secret])
    return task


def metadata_arguments(config: PipelineConfig) -> list[str]:
    """Returns the arguments that locate ML Metadata, without the password."""
    metadata = config.kubeflow.metadata
    return ["--metadata", metadata.model_dump_json(exclude_none=True)]


def place_arguments(config: PipelineConfig) -> list[str]:
    """Returns the arguments from which `arguments.checked_root` finds the root that a run parameter names."""
    mounts = [volume.mount for volume in config.kubeflow.volumes]
    return ["--mounts", json.dumps(mounts), "--storage", config.storage.model_dump_json(exclude_none=True)]


def _reserve(task: Any, wanted: TaskResources) -> None:
    task.set_cpu_request(wanted.cpu).set_memory_request(wanted.memory)
    if wanted.cpu_limit is not None:
        task.set_cpu_limit(wanted.cpu_limit)
    if wanted.memory_limit is not None:
        task.set_memory_limit(wanted.memory_limit)
    if wanted.gpu is not None:
        task.set_accelerator_type(wanted.gpu_type).set_accelerator_limit(wanted.gpu)
    if wanted.retries:
        task.set_retry(wanted.retries, backoff_duration=f"{wanted.retry_seconds}s", backoff_factor=2)
    if wanted.timeout_seconds is not None:
        kubernetes.set_timeout(task, wanted.timeout_seconds)
    if wanted.shared_memory is not None:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=wanted.shared_memory)
    if wanted.scratch is not None:
        kubernetes.empty_dir_mount(task, "scratch", "/tmp", size_limit=wanted.scratch)


def _describe(task: Any, wanted: TaskResources) -> None:
    for name, value in sorted(wanted.env.items()):
        task.set_env_variable(name, value)
    for name, value in sorted(wanted.labels.items()):
        kubernetes.add_pod_label(task, name, value)
    for name, value in sorted(wanted.annotations.items()):
        kubernetes.add_pod_annotation(task, name, value)


def _place(task: Any, wanted: TaskResources, key: str) -> None:
    """Chooses the node of a pod.

    Raises:
      ConfigError: the affinity, whose key is `key`, is not a `nodeAffinity` of Kubernetes.
    """
    if wanted.node_affinity:
        try:
            kubernetes.add_node_affinity_json(task, wanted.node_affinity)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key}: is not a nodeAffinity of Kubernetes ({error})") from None
    for label, value in sorted(wanted.node_selector.items()):
        kubernetes.add_node_selector(task, label_key=label, label_value=value)
    for toleration in wanted.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump(exclude_none=True))


def _confine(task: Any, wanted: TaskResources) -> None:
    """Sets the part of the `restricted` Pod Security Standard that Kubeflow Pipelines leaves to the package.

    From 2.16 on, Kubeflow adds the rest to every task: a seccomp profile, no capabilities, no privilege escalation
    (backend/src/v2/compiler/argocompiler/security_context.go).
    """
    settings = {
        "run_as_non_root": wanted.run_as_non_root or None,
        "run_as_user": wanted.run_as_user,
        "run_as_group": wanted.run_as_group,
    }
    if any(value is not None for value in settings.values()):
        kubernetes.set_security_context(task, **settings)


def _inject(task: Any, kubeflow: Kubeflow) -> None:
    for secret in kubeflow.secrets:
        if secret.env is not None:
            kubernetes.use_secret_as_env(task, secret_name=secret.name, secret_key_to_env=secret.env)
        else:
            kubernetes.use_secret_as_volume(task, secret_name=secret.name, mount_path=secret.mount)
    for config_map in kubeflow.config_maps:
        if config_map.env is not None:
            kubernetes.use_config_map_as_env(
                task, config_map_name=config_map.name, config_map_key_to_env=config_map.env
            )
        else:
            kubernetes.use_config_map_as_volume(task, config_map_name=config_map.name, mount_path=config_map.mount)
    service, mysql = kubeflow.metadata.grpc, kubeflow.metadata.mysql
    if service is not None and service.tls_secret is not None:
        kubernetes.use_secret_as_volume(task, secret_name=service.tls_secret, mount_path=str(TLS_FOLDER))
    if mysql is not None:
        kubernetes.use_secret_as_env(task, secret_name=mysql.secret, secret_key_to_env={mysql.key: PASSWORD_VARIABLE})
