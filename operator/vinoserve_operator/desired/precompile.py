"""`make_precompile`: the Job that fills the compiled cache before new pods replace the old ones.

Its pod is a model pod in all that matters to the compiler, and ends where that would be ready.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from vinoserve_api.contract import CONFIG_PATH, RuntimeConfig
from vinoserve_api.v1alpha1 import InferenceService
from vinoserve_operator.desired.devices import DeviceAccess
from vinoserve_operator.desired.names import make_compile_labels
from vinoserve_operator.desired.rendering import make_digest, make_json, render

Object = dict[str, Any]

_COMPILE_SECONDS: Final = 30 * 60
"""As long as a model pod may start."""

_KEPT_SECONDS: Final = 60 * 60
"""A Job that has ended is there to be looked at; one that failed is tried again after that."""

_SERVING: Final = ("ports", "startupProbe", "readinessProbe", "livenessProbe")
_COMPILED: Final[dict[str, Any]] = {
    "model": {"uri", "digest", "format"},
    **dict.fromkeys(
        ("inputs", "outputs", "target_device", "hints", "properties", "unchecked_properties"), True
    ),
    **dict.fromkeys(("operator_affinity", "batching"), True),
}
"""What of a RuntimeConfig makes another compiled model; see the runtime's key of its cache."""

_ACCESS: Final = ("resources", "claims", "host_paths", "libraries", "runtime_class_name", "cache_folder")
_SELECTING: Final = ("nodeSelector", "affinity")


@dataclass(frozen=True)
class Precompile:
    """The Job, and what it is for."""

    job: Object
    key: str
    """Digest of all that makes another compiled model: a change of anything else needs no Job."""
    yields: bool
    """The old pods go first and hold devices that nobody else may have: there is nothing to compile on before."""
    exclusive: bool


def make_precompile(
    service: InferenceService,
    access: DeviceAccess,
    config: RuntimeConfig,
    deployment: Object,
    common: Mapping[str, object],
) -> Precompile:
    """`deployment`: as it is rendered for this service."""
    template = deployment["spec"]["template"]
    return Precompile(
        job=_make_job(service.metadata.name, template, common),
        key=_make_key(service, access, config, template["spec"]),
        yields=access.exclusive and service.spec.rollout.strategy == "Recreate",
        exclusive=access.exclusive,
    )


def _make_job(name: str, template: Object, common: Mapping[str, object]) -> Object:
    (serve,) = template["spec"]["containers"]
    container = {key: value for key, value in serve.items() if key not in _SERVING}
    container["command"] = ["vinoserve", "serve", "--config", CONFIG_PATH, "--precompile"]
    # What spreads the replicas would count them against this pod, which is none.
    alone = {key: value for key, value in template["spec"].items() if key != "topologySpreadConstraints"}
    spec = {
        **alone,
        "containers": [container],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _COMPILE_SECONDS,
    }
    values = {
        **common,
        "kept_seconds": _KEPT_SECONDS,
        "container": serve["name"],
        "pod_labels": template["metadata"]["labels"] | make_compile_labels(name),
        "pod_annotations": template["metadata"]["annotations"],
        "pod_spec": spec,
    }
    # A Job can't be changed: another one has another name, which is a label's value, too.
    return render("job.yaml.j2", **values | {"name": f"{name[:40]}-compile-{make_digest(make_json(values))}"})


def _make_key(
    service: InferenceService, access: DeviceAccess, config: RuntimeConfig, pod_spec: Mapping[str, Any]
) -> str:
    (container,) = pod_spec["containers"]
    devices = asdict(access)
    return make_digest(
        make_json(
            {
                "config": config.model_dump(mode="json", by_alias=True, exclude_none=True, include=_COMPILED),
                "image": container["image"],
                "access": {field: devices[field] for field in _ACCESS},
                "nodes": {field: pod_spec.get(field) for field in _SELECTING},
                "claim": service.spec.cache.compiled.claim_name,
            }
        )
    )
