"""`make_children`: the ConfigMap, the Service, the Deployment of an InferenceService, and what else it calls for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from vinoserve_api.contract import GRPC_PORT, HTTP_PORT, make_runtime_config
from vinoserve_api.v1alpha1 import API_VERSION, Autoscaling, InferenceService, Metric
from vinoserve_operator.desired.deployment import make_deployment
from vinoserve_operator.desired.devices import DeviceAccess, Inventory, make_device_access
from vinoserve_operator.desired.names import make_config_key, make_labels, make_selector
from vinoserve_operator.desired.precompile import Precompile, make_precompile
from vinoserve_operator.desired.rendering import make_digest, make_json, render, seal

Object = dict[str, Any]


@dataclass(frozen=True)
class Children:
    """In the order in which they are applied: a Deployment's pods mount the ConfigMap."""

    config_map: Object
    service: Object
    deployment: Object
    extras: tuple[Object, ...]
    """Of the kinds in `kinds.EXTRAS`."""

    config: str
    """Digest of the RuntimeConfig, which pods carry as an annotation."""

    precompile: Precompile | None = None
    """With a Job that comes first."""
    held: bool = False
    """The Deployment stays as it is until that Job is complete."""

    def __iter__(self) -> Iterator[Object]:
        yield from (self.config_map, self.service, *self.extras)
        if self.precompile is not None:
            yield self.precompile.job
        if not self.held:
            yield self.deployment

    def keep_configs(self, kept: dict[str, str]) -> Self:
        """With keys of the present ConfigMap that pods of older generations still mount."""
        if not kept:
            return self
        data = kept | self.config_map["data"]
        return replace(self, config_map=seal({**self.config_map, "data": data}))


def make_children(
    service: InferenceService,
    inventory: Inventory,
    *,
    image: str,
    known_groups: Iterable[int] = (),
) -> Children:
    """What shall be there for a valid service.

    `known_groups` are the
    gids that the present Deployment has: a node that leaves shall not roll the pods on the others.
    Raises NotRenderableError.
    """
    access = make_device_access(service, inventory, known_groups)
    runtime_config = make_runtime_config(service)
    config = make_json(runtime_config.dump())
    digest = make_digest(config)
    common = {
        "name": service.metadata.name,
        "namespace": service.metadata.namespace,
        "labels": make_labels(service.metadata.name),
        "owners": [make_owner(service)],
    }
    claims = _make_claim_template(access, common)
    deployment = make_deployment(
        service,
        access,
        common,
        config=digest,
        image=image,
        claim_template=claims["metadata"]["name"] if claims else None,
    )
    return Children(
        config_map=render("configmap.yaml.j2", **common, data={make_config_key(digest): config}),
        service=render(
            "service.yaml.j2",
            **common,
            selector=make_selector(service.metadata.name),
            http_port=HTTP_PORT,
            grpc_port=GRPC_PORT,
        ),
        deployment=deployment,
        extras=(*_make_extras(service, common), *([claims] if claims else ())),
        config=digest,
        precompile=make_precompile(service, access, runtime_config, deployment, common)
        if service.spec.precompile
        else None,
    )


def _make_extras(service: InferenceService, common: Mapping[str, object]) -> Iterator[Object]:
    spec, autoscaling = service.spec, service.spec.autoscaling
    if max(spec.replicas, autoscaling.max_replicas if autoscaling else 0) > 1:
        selector = make_selector(service.metadata.name)
        yield render("poddisruptionbudget.yaml.j2", **common, selector=selector)
    if autoscaling and not spec.suspend:  # it would look for metrics of pods that nobody wants
        yield _make_autoscaler(autoscaling, common)


def _make_autoscaler(autoscaling: Autoscaling, common: Mapping[str, object]) -> Object:
    return render(
        "horizontalpodautoscaler.yaml.j2",
        **common,
        target={"apiVersion": API_VERSION, "kind": "InferenceService", "name": common["name"]},
        min_replicas=autoscaling.min_replicas,
        max_replicas=autoscaling.max_replicas,
        metrics=[_make_metric(metric) for metric in autoscaling.metrics],
        behavior=autoscaling.behavior.dump() if autoscaling.behavior else None,
    )


def _make_metric(metric: Metric) -> Object:
    """With quantities as the API server gives them back: as text."""
    wire = metric.dump()
    target = wire[metric.type.lower()]["target"]
    target |= {key: str(target[key]) for key in ("averageValue", "value") if key in target}
    return wire


def _make_claim_template(access: DeviceAccess, common: Mapping[str, object]) -> Object | None:
    """Its spec can't be changed, so its name says what is in it: another spec is another template."""
    if not access.claims:
        return None
    digest = make_digest(repr(access.claims))
    named = {**common, "name": f"{common['name']}-{digest}"}
    return render("resourceclaimtemplate.yaml.j2", **named, claims=access.claims)


def make_owner(service: InferenceService) -> Object:
    """The reference by which the garbage collector takes the children away with the service."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "name": service.metadata.name,
        "uid": service.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
