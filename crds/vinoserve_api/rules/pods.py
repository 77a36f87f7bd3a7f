"""Limits, resources, and what else the pods shall have."""

import re
from collections.abc import Iterable, Iterator, Sequence

from vinoserve_api.fields import cel_text, quoted
from vinoserve_api.problem import Problem, path_of
from vinoserve_api.quantity import quantity_value
from vinoserve_api.rules.amounts import QUANTITY, check_amount, make_amount_rules
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import InferenceServiceSpec, Resources

RESERVED = r"^(app\.kubernetes\.io|(.*\.)?vinoserve\.dev)/"

OWN_KEY = "app.kubernetes.io/ and vinoserve.dev/ belong to vinoserve; use a prefix of your own"

BODY = "must be from 1Ki to 2Gi"
_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def check_pods(spec: InferenceServiceSpec) -> Iterator[Problem]:
    yield from _check_limits(spec)
    yield from _check_resources(spec.resources)
    template = spec.pod_template
    yield from _check_own_keys(template.labels, "spec.podTemplate.labels")
    yield from _check_own_keys(template.annotations, "spec.podTemplate.annotations")
    yield from check_unique(
        [secret.name for secret in template.image_pull_secrets], "spec.podTemplate.imagePullSecrets", "name"
    )
    yield from check_unique([a.class_ for a in spec.accelerators or ()], "spec.accelerators", "class")


def check_unique(names: Sequence[object], path: str, field: str = "") -> Iterator[Problem]:
    seen: set[object] = set()
    for i, name in enumerate(names):
        if name in seen:
            yield Problem(
                f"{path}[{i}]" + (f".{field}" if field else ""),
                f"{quoted(name)} is named twice; name it once",
            )
        seen.add(name)


def _check_limits(spec: InferenceServiceSpec) -> Iterator[Problem]:
    quantity = spec.limits.max_request_bytes
    if not 1 << 10 <= quantity_value(quantity) <= 1 << 31:
        yield Problem("spec.limits.maxRequestBytes", f"{quoted(quantity)} {BODY}")


def _check_resources(resources: Resources) -> Iterator[Problem]:
    requests = resources.requests.dump() if resources.requests else {}
    limits = resources.limits.dump() if resources.limits else {}
    for name in _RESOURCES:
        for side, amounts in (("requests", requests), ("limits", limits)):
            yield from check_amount(
                f"spec.resources.{side}.{name}", amounts.get(name), in_bytes=name != "cpu"
            )
        if (
            name in requests
            and name in limits
            and quantity_value(requests[name]) > quantity_value(limits[name])
        ):
            yield Problem(
                f"spec.resources.requests.{name}",
                f"{quoted(requests[name])} is more than the limit {quoted(limits[name])}; request at most that",
            )


def _check_own_keys(keys: Iterable[str], path: str) -> Iterator[Problem]:
    for key in keys:
        if re.match(RESERVED, key):
            yield Problem(path_of([key], path), OWN_KEY)


# --- the same in CEL


def _field(name: str) -> str:
    """How CEL names a field whose name is no identifier."""
    return name.replace("-", "__dash__")


CEL = (
    CelRule(
        "spec.limits.maxRequestBytes",
        f"{QUANTITY.format('self')}.compareTo(quantity('1Ki')) >= 0"
        f" && {QUANTITY.format('self')}.compareTo(quantity('2Gi')) <= 0",
        BODY,
    ),
    *(
        rule
        for side in ("requests", "limits")
        for name in _RESOURCES
        for rule in make_amount_rules(f"spec.resources.{side}.{name}", in_bytes=name != "cpu")
    ),
    *(
        CelRule(
            "spec.resources",
            f"!has(self.requests) || !has(self.limits) || !has(self.requests.{f}) || !has(self.limits.{f})"
            f" || {QUANTITY.format(f'self.requests.{f}')}.compareTo({QUANTITY.format(f'self.limits.{f}')}) <= 0",
            f"{name}: requests are more than limits; request at most the limit",
            ".requests",
        )
        for name in _RESOURCES
        for f in (_field(name),)
    ),
    *(
        CelRule(f"spec.podTemplate.{field}", f"self.all(k, !k.matches({cel_text(RESERVED)}))", OWN_KEY)
        for field in ("labels", "annotations")
    ),
)
