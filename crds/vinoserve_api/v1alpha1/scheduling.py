"""On which nodes pods may run, as pods themselves say it."""

from typing import Annotated, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.v1alpha1.values import LabelKey, LabelMap, LabelValue

_Values = Annotated[tuple[LabelValue, ...], Field(max_length=64)]
_Keys = Annotated[tuple[LabelKey, ...], Field(max_length=16)]


class Toleration(Document):
    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Annotated[int, Field(ge=0, le=9_007_199_254_740_991)] | None = None


class LabelSelectorRequirement(Document):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: _Values = ()


class LabelSelector(Document):
    match_labels: LabelMap = {}
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16)] = ()


class NodeSelectorRequirement(Document):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: _Values = ()


class NodeSelectorTerm(Document):
    match_expressions: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16)] = ()
    match_fields: Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16)] = ()


class NodeSelector(Document):
    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=16)]


Weight = Annotated[int, Field(ge=1, le=100)]


class PreferredSchedulingTerm(Document):
    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(Document):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], Field(max_length=16)
    ] = ()


class PodAffinityTerm(Document):
    topology_key: LabelKey
    label_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    namespaces: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=63)], ...], Field(max_length=16)
    ] = ()
    match_label_keys: _Keys = ()
    mismatch_label_keys: _Keys = ()


class WeightedPodAffinityTerm(Document):
    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Document):
    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=16)
    ] = ()
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(max_length=16)
    ] = ()


class Affinity(Document):
    node_affinity: NodeAffinity | None = Field(None, description="Nodes that the pods need or prefer.")
    pod_affinity: PodAffinity | None = Field(None, description="Pods to be near to.")
    pod_anti_affinity: PodAffinity | None = Field(None, description="Pods to keep away from.")


class TopologySpreadConstraint(Document):
    max_skew: Annotated[int, Field(ge=1, le=1000)]
    topology_key: LabelKey
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    min_domains: Annotated[int, Field(ge=1, le=1000)] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    match_label_keys: _Keys = ()
