"""`spec.autoscaling`: what a HorizontalPodAutoscaler would refuse, or never scale by."""

from collections.abc import Iterator

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.quantity import quantity_value
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import InferenceServiceSpec, Metric

BOUNDS = "maxReplicas must be at least minReplicas"
SOURCE = "type Resource goes with resource, Pods with pods, External with external, and none with another: write that one alone"
TARGET = (
    "type Utilization goes with averageUtilization, AverageValue with averageValue, Value with value, and none with another: "
    "write that one alone"
)
POSITIVE = "must be more than 0"
SHARELESS = "Utilization is a share of what a pod requests: write how much under spec.resources.requests, or a target of type AverageValue"

_SOURCES = {"Resource": "resource", "Pods": "pods", "External": "external"}
_VALUES = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}
_RESOURCES = ("cpu", "memory")


def check_autoscaling(spec: InferenceServiceSpec) -> Iterator[Problem]:
    autoscaling = spec.autoscaling
    if autoscaling is None:
        return
    if autoscaling.max_replicas < autoscaling.min_replicas:
        yield Problem("spec.autoscaling.maxReplicas", BOUNDS)
    for i, metric in enumerate(autoscaling.metrics):
        yield from _check_metric(spec, metric, f"spec.autoscaling.metrics[{i}]")


def _check_metric(spec: InferenceServiceSpec, metric: Metric, path: str) -> Iterator[Problem]:
    sources = {name: source for name in _SOURCES.values() if (source := getattr(metric, name)) is not None}
    if list(sources) != [_SOURCES[metric.type]]:
        yield Problem(path, SOURCE)
    for name, source in sources.items():
        target, at = source.target, f"{path}.{name}.target"
        given = {key: value for key, value in target.dump().items() if key != "type"}
        if list(given) != [_VALUES[target.type]]:
            yield Problem(at, TARGET)
        for key, value in given.items():
            if key != "averageUtilization" and quantity_value(value) <= 0:
                yield Problem(f"{at}.{key}", f"{quoted(value)} {POSITIVE}")
    resource = metric.resource
    if resource and resource.target.type == "Utilization" and not _reserves(spec, resource.name):
        yield Problem(f"{path}.resource.target.type", SHARELESS)


def _reserves(spec: InferenceServiceSpec, resource: str) -> bool:
    """A limit is a request too where none is written."""
    return any(
        amounts is not None and amounts.dump().get(resource) is not None
        for amounts in (spec.resources.requests, spec.resources.limits)
    )


# --- the same in CEL

_AT = "spec.autoscaling.metrics[]"
_TARGETS = {
    "resource": ("averageUtilization", "averageValue"),
    "pods": ("averageValue",),
    "external": ("averageValue", "value"),
}
_QUANTITY = "(isQuantity(string(self)) ? quantity(string(self)) : quantity('1'))"


def _reserves_rule(resource: str) -> str:
    return " || ".join(
        f"has(self.resources.{side}) && has(self.resources.{side}.{resource})"
        for side in ("requests", "limits")
    )


CEL = (
    CelRule("spec.autoscaling", "self.maxReplicas >= self.minReplicas", BOUNDS, ".maxReplicas"),
    CelRule(
        _AT,
        " && ".join(f"has(self.{name}) == (self.type == '{type_}')" for type_, name in _SOURCES.items()),
        SOURCE,
    ),
    *(
        CelRule(
            f"{_AT}.{source}.target",
            " && ".join(
                f"has(self.{name}) == (self.type == '{type_}')"
                for type_, name in _VALUES.items()
                if name in values
            ),
            TARGET,
        )
        for source, values in _TARGETS.items()
    ),
    *(
        CelRule(f"{_AT}.{source}.target.{value}", f"{_QUANTITY}.isGreaterThan(quantity('0'))", POSITIVE)
        for source, values in _TARGETS.items()
        for value in values
        if value != "averageUtilization"
    ),
    CelRule(
        "spec",
        "!has(self.autoscaling) || self.autoscaling.metrics.all(m, !has(m.resource) || m.resource.target.type != 'Utilization'"
        " || has(self.resources) && (m.resource.name == 'cpu'"
        f" ? {_reserves_rule('cpu')} : {_reserves_rule('memory')}))",
        SHARELESS,
        ".autoscaling.metrics",
    ),
)
