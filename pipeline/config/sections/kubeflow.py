"""Section `kubeflow` of a pipeline file: the resources of each task, and where state is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, StrictBool, StrictInt, StrictStr

from sections import NonNegativeInt, PositiveInt, Section, Text
from storage import urls
from storage.settings import SECRET_VARIABLES
from storage.urls import is_object

# Names of Kubernetes objects (RFC 1123).
Name = Annotated[StrictStr, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


def _known(place: str) -> str:
    if is_object(place):
        urls.parse(place)
    elif not place.startswith("/") or place.startswith("//"):
        raise ValueError(f"must be an absolute path on a volume, or a URL that begins with {urls.SCHEMES_IN_WORDS}")
    return place


RootPlace = Annotated[Text, pydantic.AfterValidator(_known)]
AbsolutePath = Annotated[StrictStr, Field(pattern=r"^/[^/].*$")]
Host = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$")]
# Quantities in the format of the kfp SDK.
Cpu = Annotated[StrictStr, Field(pattern=r"^[0-9]+(\.[0-9]+)?m?$")]
Memory = Annotated[StrictStr, Field(pattern=r"^[0-9]+(\.[0-9]+)?(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?$")]

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_WORD = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)"
LabelKey = Annotated[StrictStr, Field(pattern=rf"^([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_WORD}$")]
LabelValue = Annotated[StrictStr, Field(pattern=rf"^{_WORD}?$")]


def _not_secret(name: str) -> str:
    if name in SECRET_VARIABLES:
        raise ValueError("is a secret, which would be readable in the package. Use kubeflow.secrets")
    return name


VariableName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), pydantic.AfterValidator(_not_secret)]


def _unexpanded(value: str) -> str:
    if "$$" in value or "$(" in value or "{{" in value:
        raise ValueError("must not contain $$, $( or {{, which Kubernetes or Kubeflow expands")
    return value


VariableValue = Annotated[StrictStr, pydantic.AfterValidator(_unexpanded)]


def _not_root(user: int) -> int:
    if user == 0:
        raise ValueError("user 0 is root, which no task needs. Omit the key to use the user of the image, 10001")
    return user


# Kubernetes accepts ids of 31 bits.
GroupId = Annotated[StrictInt, Field(ge=0, lt=2**31)]
UserId = Annotated[GroupId, pydantic.AfterValidator(_not_root)]


class Volume(Section):
    """A persistent volume claim, and its mount path in every task."""

    claim: Name
    mount: AbsolutePath


class Injected(Section):
    """A secret or a config map, as environment variables (`env` maps keys to variables) or as files below `mount`."""

    name: Name
    env: dict[Text, Text] | None = None
    mount: AbsolutePath | None = None

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Injected:
        if (self.env is None) == (self.mount is None):
            raise ValueError("give exactly one of env and mount")
        return self


class Toleration(Section):
    """A taint that tasks tolerate, in the format of a pod's `tolerations`."""

    key: Text | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: StrictStr | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class TaskResources(Section):
    """The resources of a task. Values in `components` replace those of `task`.

    `shared_memory` is the size of /dev/shm, and `scratch` the size of /tmp: folders that end with the pod.
    `timeout_seconds` is how long the pod of one attempt may run, with the pulling of its image.

    `run_as_non_root: false` omits the security context from the package. Kubeflow Pipelines before 2.16 refuses
    packages with a security context.
    """

    cpu: Cpu = "1"
    cpu_limit: Cpu | None = None
    memory: Memory = "4Gi"
    memory_limit: Memory | None = None
    gpu: PositiveInt | None = None
    gpu_type: Text = "nvidia.com/gpu"
    shared_memory: Memory | None = None
    scratch: Memory | None = None
    timeout_seconds: PositiveInt | None = None
    env: dict[VariableName, VariableValue] = {}
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[LabelKey, VariableValue] = {}
    node_affinity: dict[Text, Any] = {}
    node_selector: dict[Text, StrictStr] = {}
    tolerations: tuple[Toleration, ...] = ()
    retries: NonNegativeInt = 2
    retry_seconds: NonNegativeInt = 30
    run_as_non_root: StrictBool = True
    run_as_user: UserId | None = None
    run_as_group: GroupId | None = None


class Grpc(Section):
    """An ML Metadata service. The default is the one of deploy/kubeflow.

    `tls_secret` is a secret with `ca.crt`, `tls.crt` and `tls.key`. With it, tasks verify the service and show their
    own certificate.
    """

    host: Host = "kindred-metadata"
    port: Annotated[StrictInt, Field(gt=0, lt=65536)] = 8080
    tls_secret: Name | None = None


class Mysql(Section):
    """ML Metadata directly in MySQL or MariaDB. The password is a key of a secret."""

    host: Host
    port: Annotated[StrictInt, Field(gt=0, lt=65536)] = 3306
    database: Text = "kindred"
    user: Text = "kindred"
    secret: Name
    key: Text = "password"


class Metadata(Section):
    """Where ML Metadata is stored: a service, MySQL, or a SQLite file on a volume. Exactly one is not null."""

    grpc: Grpc | None = None
    mysql: Mysql | None = None
    sqlite: AbsolutePath | None = None
    wait_seconds: PositiveInt = 300

    @pydantic.model_validator(mode="before")
    @classmethod
    def _default(cls, value: object) -> object:
        if isinstance(value, dict) and not value.keys() & {"grpc", "mysql", "sqlite"}:
            return {**value, "grpc": {}}
        return value

    @pydantic.model_validator(mode="after")
    def _one_place(self) -> Metadata:
        if sum(place is not None for place in (self.grpc, self.mysql, self.sqlite)) != 1:
            raise ValueError("give exactly one of grpc, mysql and sqlite")
        return self


_REQUESTS = ("cpu", "memory")


def _distinct_mounts(volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
    if len({volume.mount for volume in volumes}) < len(volumes):
        raise ValueError("two volumes have the same mount")
    return volumes


class Kubeflow(Section):
    """How the graph runs on Kubeflow Pipelines. `kindred run` ignores this section.

    `root` is a directory on one of `volumes`, or a URL. With a URL, no volume is the default.
    """

    image: Text = "kindred:latest"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secret: Name | None = None
    volumes: Annotated[tuple[Volume, ...], pydantic.AfterValidator(_distinct_mounts)] = (
        Volume(claim="kindred", mount="/kindred"),
    )
    root: RootPlace | None = None
    metadata: Metadata = Metadata(grpc=Grpc())
    service_account: Name | None = None
    secrets: tuple[Injected, ...] = ()
    config_maps: tuple[Injected, ...] = ()
    parameters: tuple[Text, ...] = ("encode", "score", "model", "train")
    group: Literal["light", "none"] = "light"
    task: TaskResources = TaskResources()
    components: dict[Text, TaskResources] = {}

    @pydantic.model_validator(mode="before")
    @classmethod
    def _no_volume(cls, value: object) -> object:
        if isinstance(value, dict) and "volumes" not in value and is_object(str(value.get("root"))):
            return {**value, "volumes": ()}
        return value

    def task_of(self, node_id: str) -> TaskResources:
        """Returns the resources of node `node_id`: `task`, with the values of `components` for this node."""
        return self.task.model_copy(update=_set_fields(self.components.get(node_id)))

    def with_needs(self, needs: Mapping[str, TaskResources]) -> Kubeflow:
        """Returns the section with other defaults for some tasks. What `task` and `components` say about them wins."""
        chosen = {name: value for name, value in _set_fields(self.task).items() if name in _REQUESTS}
        merged = {
            task: wanted.model_copy(update=chosen | _set_fields(self.components.get(task)))
            for task, wanted in needs.items()
        }
        return self.model_copy(update={"components": {**self.components, **merged}})

    def is_mounted(self, path: str) -> bool:
        """Returns whether `path` is on one of the volumes."""
        return any(path == volume.mount or path.startswith(volume.mount.rstrip("/") + "/") for volume in self.volumes)


def _set_fields(section: Section | None) -> dict[str, object]:
    return {} if section is None else {name: getattr(section, name) for name in section.model_fields_set}
