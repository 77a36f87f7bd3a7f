"""By what the pods of a service are scaled: the fields of a HorizontalPodAutoscaler of autoscaling/v2, by their names there."""

from typing import Annotated, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.fields import Matches
from vinoserve_api.v1alpha1.scheduling import LabelSelector
from vinoserve_api.v1alpha1.values import Quantity

MetricName = Annotated[
    str,
    Field(max_length=253, description="Name of the metric, as the API that serves it has it."),
    Matches(
        r"^[A-Za-z0-9_:][A-Za-z0-9_:.|-]*$",
        "is not the name of a metric; write letters, digits and any of _ : . | -",
    ),
]


class ResourceMetricTarget(Document):
    """How much of a resource a pod shall use on average."""

    type: Literal["Utilization", "AverageValue"] = Field(
        description="Utilization: as a share of what the pods request. AverageValue: as a quantity."
    )
    average_utilization: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="With type Utilization: percent of what a pod requests."
    )
    average_value: Quantity | None = Field(None, description="With type AverageValue: how much a pod uses.")


class ResourceMetric(Document):
    name: Literal["cpu", "memory"] = Field(description="The resource.")
    target: ResourceMetricTarget = Field(description="What it shall be.")


class MetricIdentifier(Document):
    name: MetricName
    selector: LabelSelector | None = Field(None, description="Labels of the metric.")


class PodsMetricTarget(Document):
    type: Literal["AverageValue"] = Field(description="The average over the pods.")
    average_value: Quantity | None = Field(None, description="What the average shall be.")


class PodsMetric(Document):
    metric: MetricIdentifier = Field(description="Which metric of the pods.")
    target: PodsMetricTarget = Field(description="What it shall be.")


class ExternalMetricTarget(Document):
    type: Literal["AverageValue", "Value"] = Field(
        description="AverageValue: the metric divided by the number of pods. Value: the metric itself."
    )
    average_value: Quantity | None = Field(
        None, description="With type AverageValue: what a pod's part shall be."
    )
    value: Quantity | None = Field(None, description="With type Value: what the metric shall be.")


class ExternalMetric(Document):
    metric: MetricIdentifier = Field(description="Which metric.")
    target: ExternalMetricTarget = Field(description="What it shall be.")


class Metric(Document):
    """One thing to scale by; of several the one that calls for the most pods counts."""

    type: Literal["Resource", "Pods", "External"] = Field(
        description="Resource: CPU or memory of the pods, from metrics-server. Pods: a metric of each pod, from an adapter of "
        "custom.metrics.k8s.io. External: a metric of anything, from an adapter of external.metrics.k8s.io."
    )
    resource: ResourceMetric | None = Field(None, description="With type Resource.")
    pods: PodsMetric | None = Field(None, description="With type Pods.")
    external: ExternalMetric | None = Field(None, description="With type External.")


class ScalingPolicy(Document):
    type: Literal["Pods", "Percent"] = Field(description="In what value is reckoned.")
    value: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="How many pods, or how many percent of them, may come or go."
    )
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = Field(description="In this time.")


class ScalingRules(Document):
    """How fast the number of pods may change in one direction."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        None,
        description="How long the past is looked at before the number changes. Default: 0 upwards, 300 downwards.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] | None = Field(
        None,
        description="Which policy counts. Default: Max, that of the largest change. Disabled: never in this direction.",
    )
    policies: Annotated[tuple[ScalingPolicy, ...], Field(min_length=1, max_length=8)] | None = Field(
        None, description="What may change in which time."
    )


class ScalingBehavior(Document):
    scale_up: ScalingRules | None = Field(None, description="How pods come.")
    scale_down: ScalingRules | None = Field(None, description="How pods go.")


class Autoscaling(Document):
    """A HorizontalPodAutoscaler that writes the service's replicas."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="At least so many pods.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="At most so many pods.")
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=8)] = Field(
        description="What it goes by."
    )
    behavior: ScalingBehavior | None = Field(None, description="How fast it goes.")
