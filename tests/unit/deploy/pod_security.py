"""The Pod Security Standards of Kubernetes 1.34 as a function of a pod's specification.

Written from https://v1-34.docs.kubernetes.io/docs/concepts/security/pod-security-standards/. Rules for Windows are
omitted, except HostProcess.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]

BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}


def violations(pod: Spec, level: str = "restricted") -> list[str]:
    """Returns the violations of `level` (`baseline` or `restricted`) in a pod specification."""
    found = [*_baseline_pod(pod)]
    for container in _containers(pod):
        found += [f"{container['name']}: {words}" for words in _baseline_container(container)]
    if level == "restricted":
        found += _restricted_pod(pod)
        for container in _containers(pod):
            found += [f"{container['name']}: {words}" for words in _restricted_container(pod, container)]
    return found


def _containers(pod: Spec) -> list[Spec]:
    return [
        container
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for container in pod.get(kind) or ()
    ]


def _context(part: Spec) -> Spec:
    return part.get("securityContext") or {}


def _baseline_pod(pod: Spec) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes") or ():
        if "hostPath" in volume:
            yield f"volume {volume['name']}: hostPath"
    for sysctl in _context(pod).get("sysctls") or ():
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    yield from _profiles(_context(pod))


def _baseline_container(container: Spec) -> Iterator[str]:
    context = _context(container)
    if context.get("privileged"):
        yield "privileged"
    if added := set(context.get("capabilities", {}).get("add") or ()) - BASELINE_CAPABILITIES:
        yield f"capabilities {sorted(added)}"
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield "hostPort"
    if context.get("procMount", "Default") != "Default":
        yield "procMount"
    yield from _profiles(context)
    lifecycle = container.get("lifecycle") or {}
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _host(name, container.get(name) or {})
    for name in ("postStart", "preStop"):
        yield from _host(name, lifecycle.get(name) or {})


def _host(name: str, handler: Spec) -> Iterator[str]:
    if any((handler.get(kind) or {}).get("host") for kind in ("httpGet", "tcpSocket")):
        yield f"host of {name}"


def _profiles(context: Spec) -> Iterator[str]:
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"
    for name in ("seccompProfile", "appArmorProfile"):
        if name in context and context[name]["type"] not in PROFILES:
            yield f"{name} {context[name]['type']}"
    linux = context.get("seLinuxOptions", {})
    if linux.get("user") or linux.get("role") or linux.get("type", "") not in SELINUX_TYPES:
        yield "seLinuxOptions"


def _restricted_pod(pod: Spec) -> Iterator[str]:
    for volume in pod.get("volumes") or ():
        if forbidden := volume.keys() - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {sorted(forbidden)}"
    if _context(pod).get("runAsUser") == 0:
        yield "runAsUser 0"
    if _context(pod).get("runAsNonRoot") is False:
        yield "runAsNonRoot is false"


def _restricted_container(pod: Spec, container: Spec) -> Iterator[str]:
    context = _context(container)
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("runAsNonRoot", _context(pod).get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if context.get("runAsUser") == 0:
        yield "runAsUser 0"
    if "seccompProfile" not in {**_context(pod), **context}:
        yield "no seccompProfile"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "capabilities are not dropped"
    if added := set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f"capabilities {sorted(added)}"
