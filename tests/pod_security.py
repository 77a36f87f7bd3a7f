"""The restricted Pod Security Standard (Kubernetes 1.36) on a pod's spec: what it forbids, as the admission controller would."""

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def find_violations(spec: dict[str, Any]) -> list[str]:
    """Each a path and what is wrong with it; empty where the pod would be admitted."""
    return [
        *_judge_pod(spec),
        *(
            v
            for kind in ("initContainers", "containers")
            for c in spec.get(kind, [])
            for v in _judge(c, spec)
        ),
    ]


def _judge_pod(spec: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field}: true"
    for volume in spec.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volumes[{volume['name']}]: {kind}"
    if spec.get("securityContext", {}).get("runAsUser") == 0:
        yield "securityContext.runAsUser: 0"
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        yield f"securityContext.sysctls: {sysctl['name']}"


def _judge(container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    name, own, pod = container["name"], container.get("securityContext", {}), spec.get("securityContext", {})
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name}: runAsNonRoot is not true"
    if own.get("runAsUser") == 0:
        yield f"{name}: runAsUser 0"
    if own.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in {
        "RuntimeDefault",
        "Localhost",
    }:
        yield f"{name}: no seccomp profile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name}: capabilities.drop lacks ALL"
    if added := set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities.add {sorted(added)}"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"{name}: hostPort {port['hostPort']}"
