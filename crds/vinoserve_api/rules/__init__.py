"""What a schema alone can't say of an object, the only place where it is said.

Pure. Each module has the check in Python, which `vinoserve validate`, `serve` and the operator use, and beside it, as far
as CEL goes, the same for the API server.
"""

from vinoserve_api.problem import Problem
from vinoserve_api.rules import (
    autoscaling,
    batching,
    buckets,
    caches,
    classes,
    device,
    parity,
    pods,
    scheduling,
    tensors,
    uri,
)
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService, InferenceServiceSpec

__all__ = ["CLASS_CEL", "SERVICE_CEL", "CelRule", "check_class", "check_service"]

SERVICE_CEL: tuple[CelRule, ...] = (
    *uri.CEL,
    *tensors.CEL,
    *buckets.CEL,
    *device.CEL,
    *batching.CEL,
    *parity.CEL,
    *caches.CEL,
    *pods.CEL,
    *autoscaling.CEL,
    *scheduling.make_rules(InferenceServiceSpec),
)
CLASS_CEL: tuple[CelRule, ...] = classes.CEL


def check_service(service: InferenceService) -> tuple[Problem, ...]:
    """Whatever is wrong with it, in the order of the fields; nothing where it can be rendered and served."""
    spec, model = service.spec, service.spec.model
    problems = []
    refused = uri.check_uri(model.uri, digest=model.digest is not None)
    if refused:
        problems.append(Problem("spec.model.uri", refused))
    if model.credentials is not None and not uri.takes_credentials(model.uri):
        problems.append(Problem("spec.model.credentials", uri.CREDENTIALS))
    return (
        *problems,
        *tensors.check_tensors(model),
        *buckets.check_buckets(model),
        *device.check_device(spec),
        *batching.check_batching(spec),
        *parity.check_parity(spec.parity),
        *caches.check_caches(spec),
        *pods.check_pods(spec),
        *autoscaling.check_autoscaling(spec),
        *scheduling.check_scheduling(spec),
    )


def check_class(accelerator_class: AcceleratorClass) -> tuple[Problem, ...]:
    """Whatever is wrong with it; nothing where pods can be given its accelerators."""
    return tuple(classes.check_class_spec(accelerator_class.spec))
