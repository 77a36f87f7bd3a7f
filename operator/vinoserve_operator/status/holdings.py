"""What pods hold of the accelerators."""

from collections.abc import Iterable, Mapping
from typing import Any

from vinoserve_api.v1alpha1 import AcceleratorClass
from vinoserve_operator.desired.devices import make_request_name

Object = Mapping[str, Any]


def is_over(pod: Object) -> bool:
    """Whether it holds nothing any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def list_claim_templates(pod: Object) -> list[str]:
    """Names of the ResourceClaimTemplates that its claims are made from."""
    claims = pod["spec"].get("resourceClaims") or ()
    return [claim["resourceClaimTemplateName"] for claim in claims if claim.get("resourceClaimTemplateName")]


def count_held(
    accelerator: AcceleratorClass, pods: Iterable[Object], templates: Mapping[tuple[str, str], Object]
) -> int | None:
    """Units of the class that pods on nodes hold; None with HostPath, where nobody counts.

    `pods` are those on the class' nodes, `templates` the ResourceClaimTemplates by namespace and name.
    """
    spec = accelerator.spec
    alive = [pod for pod in pods if not is_over(pod)]
    if spec.device_plugin:
        resource = spec.device_plugin.resource_name
        return sum(_read_units(requests, resource) for pod in alive for requests in _list_requests(pod))
    if spec.dra:
        request = make_request_name(accelerator.metadata.name)
        used = [
            templates.get((pod["metadata"]["namespace"], template), {})
            for pod in alive
            for template in list_claim_templates(pod)
        ]
        return sum(_count_claimed(template, request) for template in used)
    return None


def _list_requests(pod: Object) -> list[Mapping[str, str]]:
    containers = pod["spec"].get("containers") or ()
    return [(container.get("resources") or {}).get("requests") or {} for container in containers]


def _read_units(requests: Mapping[str, str], resource: str) -> int:
    units = str(requests.get(resource, "0"))
    return int(units) if units.isdigit() else 0


def _count_claimed(template: Object, request: str) -> int:
    requests = (((template.get("spec") or {}).get("spec") or {}).get("devices") or {}).get("requests") or ()
    return sum((one.get("exactly") or {}).get("count", 1) for one in requests if one["name"] == request)
