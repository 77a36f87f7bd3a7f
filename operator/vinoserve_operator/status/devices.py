"""DeviceReady: whether what runs the model is what was asked for."""

from collections.abc import Sequence

from vinoserve_api.conditions import FailureReason, ProgressReason
from vinoserve_api.device import parse_target
from vinoserve_api.v1alpha1 import InferenceService
from vinoserve_operator.status.conditions import Verdict
from vinoserve_operator.status.diagnosis import Diagnosis
from vinoserve_operator.status.lists import unite
from vinoserve_operator.status.pods import PodView, find_released


def judge_device(
    service: InferenceService | None, pods: Sequence[PodView], worst: Diagnosis | None, model: Verdict
) -> Verdict:
    """False as soon as one pod runs elsewhere, or on a sick device; True when every ready pod's report says so; else Unknown.

    With `onFallback: Allow` the fallback is what was agreed to: True, and the reason still says FellBackToCPU.
    """
    for pod in pods:
        if pod.report and pod.report.on_requested_device is False:
            return _fell_back(service, pod)
    if worst and worst.device:
        return Verdict("False", worst.reason, worst.message)
    sick = [f"pod {pod.name}: {explained}" for pod in pods if (explained := explain_unhealthy(pod))]
    ready = [pod for pod in pods if pod.ready]
    if not ready and not sick:
        return Verdict("Unknown", model.reason, model.message)
    silent = next(
        (pod for pod in ready if pod.report is None or pod.report.on_requested_device is None), None
    )
    if silent:
        return Verdict(
            "Unknown",
            ProgressReason.NOT_REPORTING,
            f"pod {silent.name} is ready and doesn't say what it runs on: "
            f"{silent.unreachable or 'no report yet'}; the operator must reach port 8002 of the pods",
        )
    if sick:
        return Verdict("False", ProgressReason.DEVICE_UNHEALTHY, "; ".join(sick))
    released = find_released(ready)
    rest = f"; released since {released}, until the next request" if released else ""
    return Verdict("True", ProgressReason.ON_REQUESTED_DEVICE, _describe(service, ready) + rest)


def explain_unhealthy(pod: PodView) -> str | None:
    """What may be the matter with a pod whose device is sick; None where it isn't, or nobody knows."""
    if not pod.unhealthy:
        return None
    return (
        f"{', '.join(pod.unhealthy)} is called unhealthy on node {pod.node}: see the device plugin's or DRA driver's log there, "
        f"and the kernel's; `kubectl delete pod {pod.name}` has it made anew with a whole device, if one is free (`kubectl get acceleratorclasses`)"
    )


def _fell_back(service: InferenceService | None, pod: PodView) -> Verdict:
    report = pod.report
    runs = ",".join(report.execution_devices) if report else ""
    asked = report.target_device if report else ""
    allowed = service is not None and service.spec.on_fallback == "Allow"
    if runs.startswith("("):
        why = f"asked for {asked}; the {runs.strip('()')} stands in while AUTO compiles for the device that it chose"
    else:
        why = next(
            (text for text in (report.warnings if report else ()) if text.startswith("asked for ")),
            f"asked for {asked}, but it runs on {runs or 'another device'}",
        )
    return Verdict(
        "True" if allowed else "False",
        FailureReason.FELL_BACK_TO_CPU,
        f"pod {pod.name}: {why}",
    )


def _describe(service: InferenceService | None, pods: Sequence[PodView]) -> str:
    reports = [pod.report for pod in pods if pod.report]
    devices = unite(report.execution_devices for report in reports)
    names = unite(report.device_names for report in reports)
    text = f"runs on {','.join(devices)}" + (f" ({', '.join(names)})" if names else "")
    if service and devices == ("CPU",) and not service.spec.accelerators:
        target = parse_target(service.spec.target_device)
        if target.mode == "AUTO" and not target.devices:
            text += (
                "; AUTO sees the CPU alone: to give it more, name an AcceleratorClass in spec.accelerators"
            )
    return text
