"""`make_service_status`: the whole status of an InferenceService from one look at the cluster."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from vinoserve_api.conditions import ConditionType, FailureReason, ProgressReason
from vinoserve_api.contract import HTTP_PORT, RuntimeReport
from vinoserve_api.device import parse_target
from vinoserve_api.v1alpha1 import Failure, InferenceService, InferenceServiceStatus, PodStatus, Startup
from vinoserve_operator.desired.names import make_label_selector, make_selector, make_url
from vinoserve_operator.status.conditions import Verdict, cut, make_condition
from vinoserve_operator.status.devices import explain_unhealthy, judge_device
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.disruptions import diagnose_lost, find_disruption
from vinoserve_operator.status.ending import wait_for_device, wait_for_quota
from vinoserve_operator.status.groups import explain_groups
from vinoserve_operator.status.lists import unite
from vinoserve_operator.status.look import Look
from vinoserve_operator.status.pods import PodView, count_pods, find_released
from vinoserve_operator.status.rollout import Rollout, describe_serving, describe_unseen
from vinoserve_operator.status.scaling import judge_scaling

_MAX_PODS: Final = 20
_MAX_WARNINGS: Final = 16

#: The scheduler's words for devices that are all taken: extended resources, and claims.
_NO_DEVICE: Final = re.compile(r"Insufficient [\w.-]+/|cannot allocate all claims")
_NONE_FREE: Final = (
    "no accelerator of its class is free on a node that takes the pod: suspend a service that holds one, or add a node "
    "(`kubectl get acceleratorclasses` counts what services hold, `kubectl describe node` all that is taken)"
)


Worst = tuple[PodView | None, Diagnosis]
"""What to speak of where not all is well; None in the place of a pod: the Job that compiles before there is one."""


def make_service_status(look: Look) -> InferenceServiceStatus:
    metadata = look.raw["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    previous = look.raw.get("status") or {}
    before = previous.get("conditions") or ()
    generation = metadata.get("generation")
    rollout = wait_for_quota(Rollout.read(look.deployment), look.ending)
    worst = _find_worst(look)
    verdicts = _judge(look, rollout, worst)
    newest = max((p for p in look.current if p.ready and p.report), key=lambda p: p.created, default=None)
    shown = newest or next((p for p in reversed(look.live) if p.ready and p.report), None)
    report = shown.report if shown else None
    reports = [pod.report for pod in look.live if pod.report and pod.report.execution_devices]
    service = look.acceptance.service
    devices = unite(r.execution_devices for r in reports)
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
        device_names=unite(r.device_names for r in reports),
        model=report.model if report else None,
        effective=report.effective if report else (),
        placement=report.placement if report else (),
        parity=report.parity if report else None,
        startup=_round(report) if report else None,
        pods=tuple(_make_pod(pod) for pod in _order(look)[:_MAX_PODS]),
        warnings=tuple(map(cut, report.warnings[:_MAX_WARNINGS])) if report else (),
        failure=_make_failure(None if _is_leaving(look, worst) else worst, previous.get("failure"), look.now),
    )


def _judge(look: Look, rollout: Rollout, worst: Worst | None) -> dict[ConditionType, Verdict]:
    acceptance = look.acceptance
    accepted = Verdict(
        "True" if acceptance.service else "False",
        acceptance.reason,
        acceptance.message or "the spec is valid",
    )
    model = _judge_model(look, rollout, worst)
    ailing = worst[1] if worst and not _is_leaving(look, worst) else None
    device = judge_device(acceptance.service, look.current or look.live, ailing, model)
    ready = _judge_ready(look, rollout, worst, model, device)
    refused = rollout.refusal is not None and rollout.refusal.reason != ProgressReason.ROLLING_OUT
    stuck = refused or (ailing is not None and ailing.stuck)
    wanted = acceptance.service is not None and _wants_none(acceptance.service) is None
    stalled = ready.status != "True" and (stuck if wanted else not acceptance.service)
    moving = ready.status != "True" and not stalled and not _rests(look)
    verdicts = {
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
    scaling = acceptance.service and judge_scaling(acceptance.service, look.autoscaler, ready=rollout.ready)
    return verdicts | ({ConditionType.SCALING_ACTIVE: scaling} if scaling else {})


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


def _judge_model(look: Look, rollout: Rollout, worst: Worst | None) -> Verdict:
    acceptance = look.acceptance
    if acceptance.service is None:
        if look.serving:
            message = f"the last valid generation is served by {count_pods(look.serving)}"
            return Verdict("True", ProgressReason.LOADED, message)
        return Verdict("False", acceptance.reason, acceptance.message)
    resting = _wants_none(acceptance.service)
    if resting:
        return resting
    ready = [pod for pod in look.current if pod.ready]
    leaving = _is_leaving(look, worst)
    if worst and not leaving and (worst[1].stuck or look.precompiling or not ready):
        return Verdict("False", worst[1].reason, _blame(*worst))
    if released := find_released(ready):
        return Verdict(
            "True", ProgressReason.IDLE, f"{count_pods(len(ready))} ready; {_describe_rest(released)}"
        )
    if ready:
        return Verdict("True", ProgressReason.LOADED, f"served by {count_pods(len(ready))}")
    if rollout.refusal:
        return rollout.refusal
    return Verdict("False", ProgressReason.PENDING, _describe_none(look, rollout))


def _describe_none(look: Look, rollout: Rollout) -> str:
    """Why no pod of this generation is to be spoken of."""
    if look.live and not rollout.observed:
        return describe_unseen(look.serving)
    none = "no pod of this generation is there yet" if look.live else "no pod is there yet"
    return f"{none}; {describe_serving(look.serving)}" if look.serving else none


def _judge_ready(
    look: Look, rollout: Rollout, worst: Worst | None, model: Verdict, device: Verdict
) -> Verdict:
    """True for this very generation only, on every replica, and never on a device that wasn't agreed to."""
    acceptance = look.acceptance
    service = acceptance.service
    if service is None:
        kept = describe_serving(look.serving, of=" of the last valid generation")
        tail = f"; {kept}" if look.serving else ""
        return Verdict("False", acceptance.reason, acceptance.message + tail)
    resting = _wants_none(service)
    if resting:
        return resting
    if rollout.refusal and rollout.ready < service.spec.replicas:
        return rollout.refusal
    ailing = worst is not None and not _is_leaving(look, worst)
    if worst and ailing and (worst[1].stuck or look.precompiling or model.status != "True"):
        message = _blame(*worst) + _advise(service, rollout, worst[1]) + _say_what_serves(look, rollout)
        return Verdict("False", worst[1].reason, message)
    ready = sum(pod.ready for pod in look.current)
    if not rollout.is_complete(service.spec.replicas) or ready < service.spec.replicas:
        told = rollout.describe(
            service.spec.replicas,
            fresh=sum(pod.ready for pod in look.current if pod.name not in look.leaving),
            serving=look.serving,
            live=len(look.live),
        )
        return Verdict(
            "False",
            ProgressReason.ROLLING_OUT if rollout.ready or ready else ProgressReason.PENDING,
            told + (f"; {_blame(*worst)}" if worst else ""),
        )
    if model.status != "True":
        return model
    # A sick device is the one that was asked for, and serves.
    sick = device.reason == ProgressReason.DEVICE_UNHEALTHY
    policy = service.spec.on_fallback or parse_target(service.spec.target_device).default_on_fallback
    if device.status == "Unknown" or (device.status == "False" and policy == "Fail" and not sick):
        return Verdict(device.status, device.reason, device.message)
    where = f"; {device.message}" if sick or device.reason == FailureReason.FELL_BACK_TO_CPU else ""
    if released := find_released([pod for pod in look.current if pod.ready]):
        return Verdict(
            "True", ProgressReason.IDLE, f"{count_pods(ready)} ready; {_describe_rest(released)}{where}"
        )
    return Verdict("True", ProgressReason.READY, f"{count_pods(ready)} ready{where}")


def _describe_rest(released_at: str) -> str:
    return f"nobody asks, so the model is let go of since {released_at}; the next request waits until it is loaded again"


def _advise(service: InferenceService, rollout: Rollout, diagnosis: Diagnosis) -> str:
    """An autoscaler asks for pods that a cluster without room never gets."""
    if diagnosis.reason != ProgressReason.UNSCHEDULABLE or not service.spec.autoscaling or not rollout.ready:
        return ""
    return "; add nodes, or lower spec.autoscaling.maxReplicas to what there is room for"


def _say_what_serves(look: Look, rollout: Rollout) -> str:
    if look.serving:
        return f"; {describe_serving(look.serving)}"
    if rollout.old_first and rollout.is_replacing(look.newest):
        return (
            "; nothing serves: the old pods went first, because accelerators are exclusive or "
            "spec.rollout.strategy is Recreate"
        )
    return ""


def _find_worst(look: Look) -> Worst | None:
    """The pod to speak of: this generation before the last, a stuck one before one on its way; None: a Job's."""
    if look.precompiling is not None:
        serving = any(pod.ready for pod in look.live)
        return None, look.precompiling.diagnose(partial(_explain, look), serving=serving)
    ailing = [(pod, _explain(look, pod, found)) for pod in look.live if (found := pod.diagnose())]
    worst = min(ailing, key=lambda a: (a[0].name in look.leaving, not a[1].stuck), default=None)
    if worst is None or worst[1].reason == ProgressReason.PENDING:  # why there is a pod to wait for
        return find_disruption([pod for pod in look.pods if _is_current(look, pod)]) or worst
    return worst


def _explain(look: Look, pod: PodView, found: Diagnosis) -> Diagnosis:
    """With what the cluster knows beyond the pod: why no node takes it, why it can't open its device."""
    more: Sequence[str] = ()
    lost = diagnose_lost(pod, look.lost_nodes)
    if lost:
        return lost
    if found.reason == ProgressReason.UNSCHEDULABLE:
        taken = bool(_NO_DEVICE.search(found.message))
        if taken and look.ending:
            return wait_for_device(look.ending)
        more = look.class_troubles or ((_NONE_FREE,) if taken else ())
    elif found.device and pod.node:
        explained = explain_groups(pod.node, look.node_groups.get(pod.node, ()), pod.groups)
        more = (explained,) if explained else ()
    if found.failed and (unhealthy := explain_unhealthy(pod)):
        more = (*more, unhealthy)
    return replace(found, message="; ".join((found.message, *more))) if more else found


def _is_leaving(look: Look, worst: Worst | None) -> bool:
    return worst is not None and worst[0] is not None and worst[0].name in look.leaving


def _is_current(look: Look, pod: PodView | None) -> bool:
    return pod is None or pod.config == look.acceptance.config


def _blame(pod: PodView | None, diagnosis: Diagnosis) -> str:
    return diagnosis.message if pod is None else f"pod {pod.name}: {diagnosis.message}"


def _order(look: Look) -> list[PodView]:
    """The unhealthy first."""
    return sorted(look.live, key=lambda pod: (pod.ready, pod.name))


def _make_pod(pod: PodView) -> PodStatus:
    return PodStatus(
        name=pod.name,
        node=pod.node,
        ready=pod.ready,
        execution_devices=pod.report.execution_devices if pod.report else (),
        released_at=pod.released_at,
        startup=_round(pod.report) if pod.report and pod.ready else None,
    )


def _round(report: RuntimeReport) -> Startup:
    """Milliseconds will do, and survive the way through JSON."""
    return report.startup.model_copy(
        update={k: round(v, 3) for k, v in report.startup if isinstance(v, float)}
    )


def _make_failure(worst: Worst | None, before: Mapping[str, Any] | None, now: str) -> Failure | None:
    """What went wrong, while it is wrong; a repetition of the same (the next crash) changes nothing."""
    if worst is None or not worst[1].failed:
        return None
    pod = worst[0].name if worst[0] else None
    found = worst[1]
    message = cut(found.message)
    same = before and (before.get("reason"), before.get("message")) == (found.reason, message)
    if before and same and before.get("pod") == pod:
        return Failure.load(before)
    return Failure(reason=found.reason, message=message, pod=pod, time=found.time or now)
