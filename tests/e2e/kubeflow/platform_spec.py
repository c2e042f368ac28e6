"""The second document of a package, for Kubernetes. It is checked but not emulated, because there are no pods.

The keys are those of kubernetes_platform/proto/kubernetes_executor_config.proto. An unknown key prevents the run:
argocompiler/container.go (containerExecutorTask) reads the keys with protojson.Unmarshal, which fails. The driver would
ignore the key (cmd/driver/main.go, common/util/json.go: DiscardUnknown).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tests.e2e.kubeflow.errors import PackageError, Unsupported
from tests.e2e.kubeflow.package import only, strings_in
from tests.e2e.kubeflow.placeholders import refuse_placeholders

_REFERENCE = {"runtimeValue"}
_KEYS: dict[str, set[str]] = {
    "pvcMount": {"constant", "mountPath", "pvcNameParameter"},
    "secretAsEnv": {"secretName", "secretNameParameter", "keyToEnv", "optional"},
    "secretAsVolume": {"secretName", "secretNameParameter", "mountPath", "optional"},
    "configMapAsEnv": {"configMapName", "configMapNameParameter", "keyToEnv", "optional"},
    "configMapAsVolume": {"configMapName", "configMapNameParameter", "mountPath", "optional"},
    "imagePullSecret": {"secretName", "secretNameParameter"},
    "nodeSelector": {"labels"},
    "tolerations": {"key", "operator", "value", "effect", "tolerationSeconds"},
    "podMetadata": {"labels", "annotations"},
    "enabledSharedMemory": {"volumeName", "size"},
    "emptyDirMounts": {"volumeName", "mountPath", "medium", "sizeLimit"},
    "fieldPathAsEnv": {"name", "fieldPath"},
    # driver/k8s.go (extendPodSpecPatch) reads the constant, or selectors that Kindred does not use.
    "nodeAffinity": {"nodeAffinityJson"},
}
_SINCE_2_16: dict[str, set[str]] = {"securityContext": {"runAsUser", "runAsGroup", "runAsNonRoot"}}
_POLICIES = ("Always", "Never", "IfNotPresent")


def check(document: Any, labels: Collection[str], release: str) -> None:
    """Checks the platform spec of a package whose executors have `labels`.

    Args:
      release: "2.15" or "2.16". Keys of later releases are refused.

    Raises:
      PackageError: the release does not know a key, or refuses a value.
    """
    platforms = only(document, ["platforms"], "platform spec")["platforms"]
    kubernetes = only(platforms, ["kubernetes"], "platforms")["kubernetes"]
    deployment = only(kubernetes, ["deploymentSpec"], "platforms.kubernetes")["deploymentSpec"]
    for label, config in only(deployment, ["executors"], "platforms.kubernetes.deploymentSpec")["executors"].items():
        if label not in labels:
            raise PackageError(f"platforms.kubernetes: {label}: the package has no such executor")
        for place, text in strings_in(config, "platform spec"):
            refuse_placeholders(text, label, place, "the driver resolves parameters there, not text")
        for key, value in config.items():
            _check_key(f"platforms.kubernetes: {label}", key, value, release)


def _check_key(label: str, key: str, value: Any, release: str) -> None:
    place = f"{label}.{key}"
    if key == "imagePullPolicy":
        if value not in _POLICIES:
            # driver/k8s.go (extendPodSpecPatch).
            raise PackageError(f"{place}: must be one of {', '.join(_POLICIES)} (got {value!r})")
        return
    if key == "activeDeadlineSeconds":
        # protojson writes an int64 as text. driver/k8s.go ignores values that are not positive.
        if not str(value).isdecimal() or int(value) == 0:
            raise PackageError(f"{place}: must be a positive number (got {value!r})")
        return
    known = _KEYS if release == "2.15" else _KEYS | _SINCE_2_16
    if key not in known:
        raise Unsupported(label, f"{key} with KFP {release}")
    for entry in value if isinstance(value, list) else [value]:
        only(entry, known[key], place)
        for name, reference in entry.items():
            if name.endswith("Parameter") and isinstance(reference, Mapping):
                only(reference, _REFERENCE, f"{place}.{name}")
