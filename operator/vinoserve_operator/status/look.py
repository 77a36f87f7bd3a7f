"""One look at an InferenceService: what its status is made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.v1alpha1 import InferenceService
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.precompile import Precompiling
from vinoserve_operator.status.rollout import Rollout


@dataclass(frozen=True)
class Acceptance:
    """Whether the spec could be rendered. `service` and `config` (digest of the RuntimeConfig) are None where not."""

    reason: AcceptedReason
    message: str
    service: InferenceService | None = None
    config: str | None = None


def accept(service: InferenceService, config: str) -> Acceptance:
    passed_on = sorted(
        f"{device}.{key}" for device, given in service.spec.unchecked_properties.items() for key in given
    )
    unchecked = f"; passed on unchecked: {', '.join(passed_on)}" if passed_on else ""
    return Acceptance(AcceptedReason.VALID, f"the spec is valid{unchecked}", service, config)


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

    lost_nodes: frozenset[str] = frozenset()
    """Nodes of its pods of which nothing is heard."""

    autoscaler: Mapping[str, Any] | None = None
    """Its HorizontalPodAutoscaler."""

    precompiling: Precompiling | None = None
    """The Job that its Deployment waits for."""

    template: str | None = None
    """Hash of the Deployment's present template, where it was asked for; else the youngest pod's counts as that."""

    live: Sequence[PodView] = field(init=False, default=())

    leaving: frozenset[str] = field(init=False, default=frozenset())
    """Names of live pods that the Deployment is about to replace: what ails them says nothing of this generation."""

    def __post_init__(self) -> None:
        live = sorted((pod for pod in self.pods if pod.live), key=lambda pod: (pod.created, pod.name))
        object.__setattr__(self, "live", tuple(live))
        object.__setattr__(self, "leaving", frozenset(_find_leaving(self)))

    @property
    def current(self) -> tuple[PodView, ...]:
        """Pods of this generation's model: the others are about to go."""
        return tuple(pod for pod in self.live if pod.config == self.acceptance.config)

    @property
    def newest(self) -> str | None:
        """Hash of the template whose pods shall stay."""
        return self.template or (self.current[-1].template if self.current else None)

    @property
    def ending(self) -> list[str]:
        """Names of pods that end by themselves. On a node of which nothing is heard they don't."""
        return sorted(pod.name for pod in self.pods if pod.ending and pod.node not in self.lost_nodes)

    @property
    def serving(self) -> int:
        """Ready pods, of whatever generation."""
        return sum(pod.ready for pod in self.live)


def _find_leaving(look: Look) -> Iterator[str]:
    """By the model's config, and where that is the same (another memory limit) by the template that a later pod has.

    Where the spec isn't valid the pods of the last valid one stay.
    """
    if look.acceptance.config is None:
        return
    rollout = Rollout.read(look.deployment)
    unmade = look.deployment is not None and not (rollout.observed and rollout.updated)
    for pod in look.live:
        if unmade or pod.config != look.acceptance.config or pod.template != look.newest:
            yield pod.name
