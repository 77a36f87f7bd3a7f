"""What a pod does, or what ails it, from its status and its report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vinoserve_api.conditions import FailureReason, ProgressReason
from vinoserve_api.contract import RuntimeFailure, RuntimeReport, read_termination_message
from vinoserve_operator.desired.names import (
    COMPILE_NAME,
    CONFIG_ANNOTATION,
    FETCH,
    IMAGE_VOLUME,
    NAME_LABEL,
    SERVE,
)
from vinoserve_operator.status.diagnosis import PASSING_FAILURES, Diagnosis
from vinoserve_operator.status.holdings import is_over
from vinoserve_operator.status.unscheduled import diagnose_unscheduled

Object = Mapping[str, Any]

#: Waiting reasons of a container that somebody has to mend.
_IMAGE_REASONS: Final = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
}
_MOUNT_FAILED: Final = "ImageVolumeMountFailed"
_MOUNTING: Final = re.compile(r"image[ -]?(volume|mount)", re.IGNORECASE)
_BACK_OFF: Final = re.compile(r'^Back-off pulling image "[^"]*"(: )?(ErrImagePull: )?')
_CONFIG_REASONS: Final = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CreatePodSandboxError",
}
#: Of the server, whose files the fetch container made: what it may not open is the device.
_DEVICE_FAILURES: Final = {
    FailureReason.DEVICE_NOT_FOUND,
    FailureReason.FELL_BACK_TO_CPU,
    FailureReason.PERMISSION_DENIED,
    FailureReason.DEVICE_LOST,
}

#: What the node says of a model's image that it can't pull or mount: (pattern, reason, what would help).
_IMAGE_FAILURES: Final = (
    (
        r"unauthorized|denied|forbidden|authorization|no basic auth",
        FailureReason.ACCESS_DENIED,
        "spec.model.credentials must name a Secret of type kubernetes.io/dockerconfigjson that lets the node in",
    ),
    (r"not found|manifest unknown|name unknown", FailureReason.MODEL_NOT_FOUND, "see that it was pushed"),
    (
        r"image ?volume|mismatched image rootfs|media ?type|failed to (unpack|extract|mount)",
        FailureReason.MODEL_INVALID,
        "it must be an image, made by a Containerfile with `FROM scratch` and `COPY model /`, and containerd of 2.1 or newer",
    ),
)

_SANDBOX: Final = "PodReadyToStartContainers"
"""Condition: volumes and network are there."""

TEMPLATE_LABEL: Final = "pod-template-hash"

#: Exit codes of processes that SIGILL, SIGABRT, SIGBUS, SIGFPE or SIGSEGV has ended.
_CRASH_CODES: Final = {132, 134, 135, 136, 139}

_PHASES: Final = {
    "Fetching": (ProgressReason.FETCHING, "the model is being fetched"),
    "Reading": (ProgressReason.READING, "the model is being read"),
    "Compiling": (ProgressReason.COMPILING, "the model is being compiled for the device"),
    "Comparing": (ProgressReason.COMPARING, "the device's results are being compared with the CPU's"),
    "WarmingUp": (ProgressReason.WARMING_UP, "the first inferences are being run"),
    "Ready": (ProgressReason.WARMING_UP, "the model is loaded, the pod is about to be ready"),
    "Idle": (ProgressReason.IDLE, "the model is let go of until the next request"),
    "Reloading": (ProgressReason.RELOADING, "the model is loaded again, for a request that waits"),
    "Draining": (ProgressReason.DRAINING, "the pod answers its last requests and ends"),
    "Failed": (ProgressReason.CRASH_LOOP, "the server failed and ends"),
}


@dataclass(frozen=True)
class PodView:
    """A pod and what it says of itself; `report` is of its present server process, None where there is none (yet)."""

    pod: Object
    report: RuntimeReport | None = None
    unreachable: str | None = None
    """Why the report couldn't be got."""

    heard: Diagnosis | None = None
    """What events alone tell: why its node doesn't make its containers, or what ended them."""

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def compiles(self) -> bool:
        """It is a Job's, that compiles for the pods to come, and no replica."""
        labels = self.pod["metadata"].get("labels") or {}
        return labels.get(NAME_LABEL) == COMPILE_NAME

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def node(self) -> str | None:
        return (self.pod.get("spec") or {}).get("nodeName")

    @property
    def released_at(self) -> str | None:
        """Since when it holds no compiled model, as nobody asked (`spec.idle`)."""
        return self.report.idle.released_at if self.report and self.report.idle else None

    @property
    def groups(self) -> Sequence[int]:
        """Supplementary groups of its containers."""
        context = (self.pod.get("spec") or {}).get("securityContext") or {}
        return context.get("supplementalGroups") or ()

    @property
    def config(self) -> str | None:
        return (self.pod["metadata"].get("annotations") or {}).get(CONFIG_ANNOTATION)

    @property
    def prepared_since(self) -> str | None:
        """Since when its node prepares its volumes, devices and network; None where they are there, or it has no node."""
        conditions = {c.get("type"): c for c in _conditions(self.pod)}
        scheduled = conditions.get("PodScheduled", {}).get("status") == "True"
        started = conditions.get(_SANDBOX, {})
        waits = self.live and scheduled and started.get("status") == "False"
        return started.get("lastTransitionTime") if waits else None

    @property
    def needs(self) -> Sequence[str]:
        """Secrets and claims that must be there for its volumes."""
        volumes = (self.pod.get("spec") or {}).get("volumes") or ()
        secrets = [f"Secret {v['secret'].get('secretName')}" for v in volumes if v.get("secret")]
        return [*secrets, *(f"claim {claim}" for claim in self.claims.values())]

    @property
    def claims(self) -> Mapping[str, str]:
        """PersistentVolumeClaims by the volumes that they are mounted as."""
        volumes = (self.pod.get("spec") or {}).get("volumes") or ()
        claims = {v["name"]: v.get("persistentVolumeClaim") for v in volumes}
        return {name: str(claim.get("claimName")) for name, claim in claims.items() if claim}

    @property
    def unhealthy(self) -> Sequence[str]:
        """Devices that it holds and their device plugin or DRA driver calls sick (Kubernetes 1.36 and newer say so)."""
        containers = (self.pod.get("status") or {}).get("containerStatuses") or ()
        return [
            f"{kind['name']} {device['resourceID']}"
            + (f" ({device['message']})" if device.get("message") else "")
            for container in containers
            for kind in container.get("allocatedResourcesStatus") or ()
            for device in kind.get("resources") or ()
            if device.get("health") == "Unhealthy"
        ]

    @property
    def template(self) -> str | None:
        """The Deployment's template that it was made by."""
        return (self.pod["metadata"].get("labels") or {}).get(TEMPLATE_LABEL)

    @property
    def created(self) -> str:
        return str(self.pod["metadata"].get("creationTimestamp") or "")

    @property
    def live(self) -> bool:
        """Not about to go, not over: evicted pods stay around as Failed."""
        return not is_over(self.pod) and not self.pod["metadata"].get("deletionTimestamp")

    @property
    def ending(self) -> bool:
        """Told to end, and not over: it holds what it has until then."""
        return not is_over(self.pod) and bool(self.pod["metadata"].get("deletionTimestamp"))

    @property
    def succeeded(self) -> bool:
        """Its containers ended without an error, and it is over."""
        return (self.pod.get("status") or {}).get("phase") == "Succeeded"

    @property
    def ready(self) -> bool:
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in _conditions(self.pod))

    def diagnose(self) -> Diagnosis | None:
        """None for a ready pod."""
        return None if self.ready else self.diagnose_start()

    def diagnose_start(self) -> Diagnosis:
        """What it does, or what ails it, on the way to ready."""
        status = self.pod.get("status") or {}
        for condition in _conditions(self.pod):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return diagnose_unscheduled(condition, self.claims)
        fetch = _find(status.get("initContainerStatuses"), FETCH)
        serve = _find(status.get("containerStatuses"), SERVE)
        image = _find_image(self.pod)
        return (
            _diagnose_image(fetch, image)
            or _diagnose_container(fetch, device=False)
            or _fetching(fetch)
            or _diagnose_others(status.get("initContainerStatuses"))
            or _diagnose_image(serve, image)
            or _diagnose_container(serve, device=True)
            or self._diagnose_server(serve)
            or _diagnose_others(status.get("containerStatuses"))
            or self.heard
            or Diagnosis(ProgressReason.PENDING, self._describe_start(fetch))
        )

    def _describe_start(self, fetch: Object) -> str:
        if "terminated" in (fetch.get("state") or {}):
            return "the model is there, and its server is about to start"
        hint = f"; it needs {' and '.join(self.needs)}" if self.needs else ""
        return "the pod's containers are being made" + hint

    def _diagnose_server(self, serve: Object) -> Diagnosis | None:
        if "running" not in (serve.get("state") or {}):
            return None
        report = self.report
        if report is None:
            return Diagnosis(ProgressReason.PENDING, "the server has started and not reported yet")
        if report.failure:
            return _failed(report.failure, device=True)
        return Diagnosis(*_PHASES[report.phase])


def count_pods(pods: int, more: str = "") -> str:
    """`more` stands before the noun."""
    return f"{pods} {more}pod" + ("" if pods == 1 else "s")


def find_released(pods: Sequence[PodView]) -> str | None:
    """Since when none of them holds a compiled model; None where one does, or there is none."""
    times = [pod.released_at for pod in pods]
    return max((time for time in times if time), default=None) if all(times) else None


def _conditions(pod: Object) -> Sequence[Object]:
    return (pod.get("status") or {}).get("conditions") or ()


def _find(statuses: Sequence[Object] | None, name: str) -> Object:
    return next((s for s in statuses or () if s.get("name") == name), {})


def _diagnose_others(statuses: Sequence[Object] | None) -> Diagnosis | None:
    """Containers that are not ours, which podTemplate or an injector brought."""
    others = (status for status in statuses or () if status.get("name") not in (FETCH, SERVE))
    return next((found for status in others if (found := _diagnose_container(status, device=False))), None)


def _fetching(fetch: Object) -> Diagnosis | None:
    if "running" in (fetch.get("state") or {}):
        return Diagnosis(*_PHASES["Fetching"])
    return None


def _diagnose_container(container: Object, *, device: bool) -> Diagnosis | None:
    """What is wrong with a container, None where nothing is (known to be).

    A container that failed and is being tried again still counts as failed: else the status would flap with every try.
    """
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE_REASONS:
        # The kubelet alternates between an error and backing off from it: the same to a reader, and to the status.
        why = _BACK_OFF.sub("", message) or reason
        return Diagnosis(
            ProgressReason.IMAGE_PULL_FAILED,
            f"image {container.get('image', '')} can't be pulled: {why}; {_advise_on_image(reason, why)}",
            stuck=True,
        )
    if reason in _CONFIG_REASONS:
        return Diagnosis(
            ProgressReason.CONTAINER_CONFIG_ERROR,
            f"container {container.get('name', '')} can't be made: {message or reason}",
            stuck=True,
        )
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if not ended or ended.get("exitCode") == 0:
        return None
    return _diagnose_end(container.get("name", ""), ended, device=device)


def _advise_on_image(reason: str, why: str) -> str:
    if reason == "InvalidImageName":
        return "spec.podTemplate.image must be a reference such as registry.example.com/vinoserve-runtime:1.0"
    if reason == "ErrImageNeverPull":
        return "imagePullPolicy is Never, and the node doesn't have it"
    if re.search(_IMAGE_FAILURES[0][0], why, re.IGNORECASE):
        return "the node needs an imagePullSecret that lets it in"
    return "see that it was pushed, and that the node reaches the registry"


def _failed(failure: RuntimeFailure, *, device: bool, time: str | None = None) -> Diagnosis:
    return Diagnosis(
        failure.reason,
        failure.message,
        stuck=failure.reason not in PASSING_FAILURES,
        device=device and failure.reason in _DEVICE_FAILURES,
        time=time,
    )


def _find_image(pod: Object) -> str | None:
    """The reference of the image that holds the model."""
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    return next((v["image"].get("reference") for v in volumes if v.get("name") == IMAGE_VOLUME), None)


def _diagnose_image(container: Object, image: str | None) -> Diagnosis | None:
    """The kubelet says of a container what keeps the image from being mounted into it: told apart by its reference."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if image is None or reason not in _IMAGE_REASONS | _CONFIG_REASONS | {_MOUNT_FAILED}:
        return None
    is_of_volume = image in message or (reason not in _IMAGE_REASONS and re.search(_MOUNTING, message))
    if not is_of_volume:
        return None
    why = _BACK_OFF.sub("", message)
    found, hint = next(
        ((found, hint) for pattern, found, hint in _IMAGE_FAILURES if re.search(pattern, why, re.IGNORECASE)),
        (FailureReason.FETCH_FAILED, "the node must reach the registry"),
    )
    return Diagnosis(found, f"the model's image {image} can't be had: {why}; {hint}", stuck=True)


def _diagnose_end(name: str, ended: Object, *, device: bool) -> Diagnosis:
    time = ended.get("finishedAt")
    if ended.get("reason") == "OOMKilled":
        return Diagnosis(
            FailureReason.OUT_OF_MEMORY,
            f"container {name} was killed for want of memory; raise spec.resources.limits.memory",
            stuck=True,
            time=time,
        )
    code, last = ended.get("exitCode"), (ended.get("message") or "").strip()
    failure = read_termination_message(last)
    if failure and failure.reason is FailureReason.ENGINE_CRASHED and code not in _CRASH_CODES:
        failure, last = None, ""  # left behind in case of a crash, which this wasn't: the process was killed
    if failure:
        return _failed(failure, device=device, time=time)
    return Diagnosis(
        ProgressReason.CRASH_LOOP,
        f"container {name} ended with exit code {code} ({ended.get('reason', 'Error')})"
        + (f": {last}" if last else ""),
        stuck=True,
        time=time,
    )
