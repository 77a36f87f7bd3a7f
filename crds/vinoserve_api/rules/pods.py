"""Caches, limits, resources, and what else the pods shall have."""

import re
from collections.abc import Iterator, Mapping, Sequence

from vinoserve_api.fields import cel_text, quoted
from vinoserve_api.problem import Problem, path_of
from vinoserve_api.quantity import quantity_value
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import InferenceServiceSpec, Resources, Toleration

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_KEY = rf"^({_PREFIX}/)?{_NAME}$"
LABEL_VALUE = rf"^({_NAME})?$"
RESERVED = r"^(app\.kubernetes\.io|(.*\.)?vinoserve\.dev)/"

KEY = "is not a label's or annotation's key; write NAME or DOMAIN/NAME, of letters, digits, '-', '_' and '.'"
VALUE = "is not a label's value; write at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last"
OWN_KEY = "app.kubernetes.io/ and vinoserve.dev/ belong to vinoserve; use a prefix of your own"

CLAIM_MISSING = "type PersistentVolumeClaim needs claimName: write the name of a claim in the same namespace"
CLAIM_UNUSED = "claimName goes with type PersistentVolumeClaim; set type, or remove claimName"
SIZE_LIMIT = "sizeLimit goes with type EmptyDir; a claim has its own size: remove sizeLimit"
POSITIVE = "must be more than 0"
BODY = "must be from 1Ki to 2Gi"
MILLI_BYTES = "thousandths of a byte (m); write Mi for mebibytes"

_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def check_pods(spec: InferenceServiceSpec) -> Iterator[Problem]:
    yield from _check_caches(spec)
    yield from _check_limits(spec)
    yield from _check_resources(spec.resources)
    template = spec.pod_template
    yield from check_labels(template.labels, "spec.podTemplate.labels", own=True)
    yield from check_labels(template.annotations, "spec.podTemplate.annotations", own=True, values=False)
    yield from check_labels(template.node_selector, "spec.podTemplate.nodeSelector")
    yield from check_tolerations(template.tolerations, "spec.podTemplate.tolerations")
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


def _check_caches(spec: InferenceServiceSpec) -> Iterator[Problem]:
    compiled = spec.cache.compiled
    if compiled.type == "PersistentVolumeClaim":
        if compiled.claim_name is None:
            yield Problem("spec.cache.compiled.claimName", CLAIM_MISSING)
        if compiled.size_limit is not None:
            yield Problem("spec.cache.compiled.sizeLimit", SIZE_LIMIT)
    elif compiled.claim_name is not None:
        yield Problem("spec.cache.compiled.claimName", CLAIM_UNUSED)
    for path, limit in (
        ("spec.cache.compiled.sizeLimit", compiled.size_limit),
        ("spec.cache.model.sizeLimit", spec.cache.model.size_limit),
    ):
        yield from _check_amount(path, limit, in_bytes=True)


def _check_amount(path: str, quantity: str | int | None, *, in_bytes: bool) -> Iterator[Problem]:
    if quantity is None:
        return
    if quantity_value(quantity) <= 0:
        yield Problem(path, f"{quoted(quantity)} {POSITIVE}")
    elif in_bytes and str(quantity).endswith("m"):
        yield Problem(path, f"{quoted(quantity)} is {MILLI_BYTES}")


def _check_limits(spec: InferenceServiceSpec) -> Iterator[Problem]:
    quantity = spec.limits.max_request_bytes
    if not 1 << 10 <= quantity_value(quantity) <= 1 << 31:
        yield Problem("spec.limits.maxRequestBytes", f"{quoted(quantity)} {BODY}")


def _check_resources(resources: Resources) -> Iterator[Problem]:
    requests = resources.requests.dump() if resources.requests else {}
    limits = resources.limits.dump() if resources.limits else {}
    for name in _RESOURCES:
        for side, amounts in (("requests", requests), ("limits", limits)):
            yield from _check_amount(
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


def check_labels(
    labels: Mapping[str, str], path: str, *, own: bool = False, values: bool = True
) -> Iterator[Problem]:
    """`own`: keys that vinoserve sets are refused. `values`: they must be labels' values (annotations' may be any)."""
    for key, value in labels.items():
        at = path_of([key], path)
        if not re.fullmatch(LABEL_KEY, key) or len(key.rpartition("/")[0]) > 253:
            yield Problem(at, f"{quoted(key)} {KEY}")
        elif own and re.match(RESERVED, key):
            yield Problem(at, OWN_KEY)
        if values and not re.fullmatch(LABEL_VALUE, value):
            yield Problem(at, f"{quoted(value)} {VALUE}")


EXISTS_VALUE = "operator Exists takes no value; remove value, or write operator: Equal"
KEYLESS = "a toleration without a key tolerates every taint: write operator: Exists, or a key"
SECONDS = "tolerationSeconds goes with effect NoExecute"


def check_tolerations(tolerations: Sequence[Toleration], path: str) -> Iterator[Problem]:
    for i, toleration in enumerate(tolerations):
        at = f"{path}[{i}]"
        if toleration.operator == "Exists" and toleration.value:
            yield Problem(f"{at}.value", EXISTS_VALUE)
        if not toleration.key and toleration.operator != "Exists":
            yield Problem(f"{at}.operator", KEYLESS)
        if toleration.key and not re.fullmatch(LABEL_KEY, toleration.key):
            yield Problem(f"{at}.key", f"{quoted(toleration.key)} {KEY}")
        if toleration.value and not re.fullmatch(LABEL_VALUE, toleration.value):
            yield Problem(f"{at}.value", f"{quoted(toleration.value)} {VALUE}")
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            yield Problem(f"{at}.tolerationSeconds", SECONDS)


# --- the same in CEL


def label_rules(at: str, *, own: bool = False, values: bool = True) -> Iterator[CelRule]:
    yield CelRule(at, f"self.all(k, k.matches({cel_text(LABEL_KEY)}))", f"a key in it {KEY}")
    if own:
        yield CelRule(at, f"self.all(k, !k.matches({cel_text(RESERVED)}))", OWN_KEY)
    if values:
        yield CelRule(at, f"self.all(k, self[k].matches({cel_text(LABEL_VALUE)}))", f"a value in it {VALUE}")


def toleration_rules(at: str) -> tuple[CelRule, ...]:
    return (
        CelRule(
            at,
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            EXISTS_VALUE,
            ".value",
        ),
        CelRule(
            at,
            "has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
            KEYLESS,
            ".operator",
        ),
        CelRule(
            at,
            f"!has(self.key) || self.key == '' || self.key.matches({cel_text(LABEL_KEY)})",
            f"key {KEY}",
            ".key",
        ),
        CelRule(
            at, f"!has(self.value) || self.value.matches({cel_text(LABEL_VALUE)})", f"value {VALUE}", ".value"
        ),
        CelRule(
            at,
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            SECONDS,
            ".tolerationSeconds",
        ),
    )


_QUANTITY = "(isQuantity(string({0})) ? quantity(string({0})) : quantity('1Ki'))"
# The API server tries the rules on the default {} too, where type is not filled in yet.
_ON_CLAIM = "(has(self.type) && self.type == 'PersistentVolumeClaim')"
_NO_MILLI = "!string(self).endsWith('m')"


def _amount_rules(at: str, *, in_bytes: bool) -> Iterator[CelRule]:
    yield CelRule(at, f"{_QUANTITY.format('self')}.isGreaterThan(quantity('0'))", POSITIVE)
    if in_bytes:
        yield CelRule(at, _NO_MILLI, f"is {MILLI_BYTES}")


def _field(name: str) -> str:
    """How CEL names a field whose name is no identifier."""
    return name.replace("-", "__dash__")


CEL = (
    CelRule(
        "spec.cache.compiled",
        f"!{_ON_CLAIM} || has(self.claimName)",
        CLAIM_MISSING,
        ".claimName",
    ),
    CelRule(
        "spec.cache.compiled",
        f"{_ON_CLAIM} || !has(self.claimName)",
        CLAIM_UNUSED,
        ".claimName",
    ),
    CelRule(
        "spec.cache.compiled",
        f"!{_ON_CLAIM} || !has(self.sizeLimit)",
        SIZE_LIMIT,
        ".sizeLimit",
    ),
    *_amount_rules("spec.cache.compiled.sizeLimit", in_bytes=True),
    *_amount_rules("spec.cache.model.sizeLimit", in_bytes=True),
    CelRule(
        "spec.limits.maxRequestBytes",
        f"{_QUANTITY.format('self')}.compareTo(quantity('1Ki')) >= 0"
        f" && {_QUANTITY.format('self')}.compareTo(quantity('2Gi')) <= 0",
        BODY,
    ),
    *(
        rule
        for side in ("requests", "limits")
        for name in _RESOURCES
        for rule in _amount_rules(f"spec.resources.{side}.{name}", in_bytes=name != "cpu")
    ),
    *(
        CelRule(
            "spec.resources",
            f"!has(self.requests) || !has(self.limits) || !has(self.requests.{f}) || !has(self.limits.{f})"
            f" || {_QUANTITY.format(f'self.requests.{f}')}.compareTo({_QUANTITY.format(f'self.limits.{f}')}) <= 0",
            f"{name}: requests are more than limits; request at most the limit",
            ".requests",
        )
        for name in _RESOURCES
        for f in (_field(name),)
    ),
    *label_rules("spec.podTemplate.labels", own=True),
    *label_rules("spec.podTemplate.annotations", own=True, values=False),
    *label_rules("spec.podTemplate.nodeSelector"),
    *toleration_rules("spec.podTemplate.tolerations[]"),
)
