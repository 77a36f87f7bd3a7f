"""`make_service_status`: the whole status of an InferenceService from one look at the cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from vinoserve_api.conditions import AcceptedReason, ConditionType, FailureReason, ProgressReason
from vinoserve_api.contract import HTTP_PORT, RuntimeReport
from vinoserve_api.device import parse_target
from vinoserve_api.v1alpha1 import Failure, InferenceService, InferenceServiceStatus, PodStatus, Startup
from vinoserve_operator.desired.names import make_label_selector, make_selector, make_url
from vinoserve_operator.status.conditions import Verdict, cut, make_condition
from vinoserve_operator.status.devices import judge_device
from vinoserve_operator.status.groups import explain_groups
from vinoserve_operator.status.pods import Diagnosis, PodView
from vinoserve_operator.status.rollout import Rollout

_MAX_PODS: Final = 20


@dataclass(frozen=True)
class Acceptance:
    """Whether the spec could be rendered. `service` and `config` (digest of the RuntimeConfig) are None where not."""

    reason: AcceptedReason
    message: str
    service: InferenceService | None = None
    config: str | None = None


@dataclass(frozen=True)
class Look:
    """One look at an InferenceService: the object as it came, its Deployment, its pods."""

    raw: Mapping[str, Any]
    acceptance: Acceptance
    deployment: Mapping[str, Any] | None = None
    pods: Sequence[PodView] = ()
    now: str = ""
    """RFC 3339, for what changes."""

    node_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Groups that the devices of nodes belong to, by the node's name."""

    class_troubles: Sequence[str] = ()
    """What is wrong with AcceleratorClasses that the service uses."""

    live: Sequence[PodView] = field(init=False, default=())

    def __post_init__(self) -> None:
        live = sorted((pod for pod in self.pods if pod.live), key=lambda pod: (pod.created, pod.name))
        object.__setattr__(self, "live", tuple(live))

    @property
    def current(self) -> tuple[PodView, ...]:
        """Pods of this generation's model: the others are about to go."""
        return tuple(pod for pod in self.live if pod.config == self.acceptance.config)


def make_service_status(look: Look) -> InferenceServiceStatus:
    metadata = look.raw["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    previous = look.raw.get("status") or {}
    before = previous.get("conditions") or ()
    generation = metadata.get("generation")
    rollout = Rollout.read(look.deployment)
    worst = _find_worst(look)
    verdicts = _judge(look, rollout, worst)
    newest = max((p for p in look.current if p.ready and p.report), key=lambda p: p.created, default=None)
    shown = newest or next((p for p in reversed(look.live) if p.ready and p.report), None)
    report = shown.report if shown else None
    reports = [pod.report for pod in look.live if pod.report and pod.report.execution_devices]
    service = look.acceptance.service
    devices = _gather(r.execution_devices for r in reports)
    return InferenceServiceStatus(
        observed_generation=generation,
        conditions=tuple(
            make_condition(type_, verdict, before, generation, look.now)
            for type_, verdict in verdicts.items()
        ),
        replicas=rollout.replicas,
        ready_replicas=rollout.ready,
        selector=make_label_selector(make_selector(name)),
        url=make_url(name, namespace, HTTP_PORT, service.spec.model.name or name)
        if service
        else previous.get("url"),
        runs_on=",".join(devices) or None,
        execution_devices=devices,
        device_names=_gather(r.device_names for r in reports),
        model=report.model if report else None,
        effective=report.effective if report else (),
        placement=report.placement if report else (),
        parity=report.parity if report else None,
        startup=_round(report) if report else None,
        pods=tuple(_make_pod(pod) for pod in _order(look)[:_MAX_PODS]),
        failure=_make_failure(worst, previous.get("failure"), look.now),
    )


def _judge(
    look: Look, rollout: Rollout, worst: tuple[PodView, Diagnosis] | None
) -> dict[ConditionType, Verdict]:
    acceptance = look.acceptance
    accepted = Verdict(
        "True" if acceptance.service else "False",
        acceptance.reason,
        acceptance.message or "the spec is valid",
    )
    model = _judge_model(look, rollout, worst)
    device = judge_device(acceptance.service, look.current or look.live, worst[1] if worst else None, model)
    ready = _judge_ready(look, rollout, worst, model, device)
    stuck = not acceptance.service or rollout.refusal is not None or (worst is not None and worst[1].stuck)
    stalled = ready.status != "True" and stuck
    moving = ready.status != "True" and not stalled and not _rests(look)
    return {
        ConditionType.ACCEPTED: accepted,
        ConditionType.MODEL_READY: model,
        ConditionType.DEVICE_READY: device,
        ConditionType.READY: ready,
        ConditionType.RECONCILING: Verdict(
            "True" if moving else "False", ready.reason, ready.message if moving else "nothing is under way"
        ),
        ConditionType.STALLED: Verdict(
            "True" if stalled else "False",
            ready.reason,
            ready.message if stalled else "nothing is in the way",
        ),
    }


def _rests(look: Look) -> bool:
    """No pods are wanted, and there are none."""
    service = look.acceptance.service
    return service is not None and _wants_none(service) is not None and not look.live


def _wants_none(service: InferenceService) -> Verdict | None:
    if service.spec.suspend:
        return Verdict(
            "False", ProgressReason.SUSPENDED, "spec.suspend is true; set it to false to serve again"
        )
    if service.spec.replicas == 0:
        return Verdict("False", ProgressReason.SCALED_TO_ZERO, "spec.replicas is 0; scale it up to serve")
    return None


def _judge_model(look: Look, rollout: Rollout, worst: tuple[PodView, Diagnosis] | None) -> Verdict:
    acceptance = look.acceptance
    if acceptance.service is None:
        serving = sum(pod.ready for pod in look.live)
        if serving:
            return Verdict(
                "True", ProgressReason.LOADED, f"the last valid generation is served by {_count(serving)}"
            )
        return Verdict("False", acceptance.reason, acceptance.message)
    resting = _wants_none(acceptance.service)
    if resting:
        return resting
    ready = [pod for pod in look.current if pod.ready]
    if worst and worst[0].config == acceptance.config and (worst[1].stuck or not ready):
        return Verdict("False", worst[1].reason, _blame(*worst))
    if ready:
        return Verdict("True", ProgressReason.LOADED, f"served by {_count(len(ready))}")
    if rollout.refusal:
        return rollout.refusal
    return Verdict("False", ProgressReason.PENDING, "no pod is there yet")


def _judge_ready(
    look: Look, rollout: Rollout, worst: tuple[PodView, Diagnosis] | None, model: Verdict, device: Verdict
) -> Verdict:
    """True for this very generation only, on every replica, and never on a device that wasn't agreed to."""
    acceptance = look.acceptance
    service = acceptance.service
    if service is None:
        serving = sum(pod.ready for pod in look.live)
        tail = f"; {_count(serving)} of the last valid generation go on serving" if serving else ""
        return Verdict("False", acceptance.reason, acceptance.message + tail)
    resting = _wants_none(service)
    if resting:
        return resting
    if rollout.refusal and rollout.ready < service.spec.replicas:
        return rollout.refusal
    if worst and (worst[1].stuck or model.status != "True"):
        return Verdict("False", worst[1].reason, _blame(*worst))
    ready = sum(pod.ready for pod in look.current)
    if not rollout.is_complete(service.spec.replicas) or ready < service.spec.replicas:
        return Verdict(
            "False",
            ProgressReason.ROLLING_OUT if rollout.ready or ready else ProgressReason.PENDING,
            f"{min(ready, rollout.updated)} of {service.spec.replicas} replicas are up to date and ready"
            + (f"; {_blame(*worst)}" if worst else ""),
        )
    if model.status != "True":
        return model
    policy = service.spec.on_fallback or parse_target(service.spec.target_device).default_on_fallback
    if device.status == "Unknown" or (device.status == "False" and policy == "Fail"):
        return Verdict(device.status, device.reason, device.message)
    where = f"; {device.message}" if device.reason == FailureReason.FELL_BACK_TO_CPU else ""
    return Verdict("True", ProgressReason.READY, f"{_count(ready)} ready{where}")


def _find_worst(look: Look) -> tuple[PodView, Diagnosis] | None:
    """The pod to speak of: a stuck one before one on its way, this generation before the last."""
    ailing = [(pod, _explain(look, pod, found)) for pod in look.live if (found := pod.diagnose())]
    return min(ailing, key=lambda a: (not a[1].stuck, a[0].config != look.acceptance.config), default=None)


def _explain(look: Look, pod: PodView, found: Diagnosis) -> Diagnosis:
    """With what the cluster knows beyond the pod: why no node takes it, why it can't open its device."""
    more: Sequence[str] = ()
    if found.reason == ProgressReason.UNSCHEDULABLE:
        more = look.class_troubles
    elif found.device and pod.node:
        explained = explain_groups(pod.node, look.node_groups.get(pod.node, ()), pod.groups)
        more = (explained,) if explained else ()
    return replace(found, message="; ".join((found.message, *more))) if more else found


def _blame(pod: PodView, diagnosis: Diagnosis) -> str:
    return f"pod {pod.name}: {diagnosis.message}"


def _count(pods: int) -> str:
    return f"{pods} pod" + ("" if pods == 1 else "s")


def _order(look: Look) -> list[PodView]:
    """The unhealthy first."""
    return sorted(look.live, key=lambda pod: (pod.ready, pod.name))


def _make_pod(pod: PodView) -> PodStatus:
    return PodStatus(
        name=pod.name,
        node=pod.node,
        ready=pod.ready,
        execution_devices=pod.report.execution_devices if pod.report else (),
        startup=_round(pod.report) if pod.report and pod.ready else None,
    )


def _round(report: RuntimeReport) -> Startup:
    """Milliseconds will do, and survive the way through JSON."""
    return report.startup.model_copy(
        update={k: round(v, 3) for k, v in report.startup if isinstance(v, float)}
    )


def _make_failure(
    worst: tuple[PodView, Diagnosis] | None, before: Mapping[str, Any] | None, now: str
) -> Failure | None:
    """What went wrong, while it is wrong; a repetition of the same (the next crash) changes nothing."""
    if worst is None or not worst[1].failed:
        return None
    pod, found = worst
    message = cut(found.message)
    same = before and (before.get("reason"), before.get("message")) == (found.reason, message)
    if before and same and before.get("pod") == pod.name:
        return Failure.load(before)
    return Failure(reason=found.reason, message=message, pod=pod.name, time=found.time or now)


def _gather(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All that is in any of the lists, once, in the order of the first that has it."""
    return tuple(dict.fromkeys(item for items in lists for item in items))
