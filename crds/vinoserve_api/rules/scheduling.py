"""Where pods may run: what Kubernetes itself would refuse in them."""

import re
from collections.abc import Iterator

from vinoserve_api.base import Document, document_in, walk_fields
from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import (
    AcceleratorClassSpec,
    InferenceServiceSpec,
    LabelSelectorRequirement,
    NodeSelectorRequirement,
    Toleration,
    TopologySpreadConstraint,
)

Requirement = LabelSelectorRequirement | NodeSelectorRequirement

EXISTS_VALUE = "operator Exists takes no value; remove value, or write operator: Equal"
KEYLESS = "a toleration without a key tolerates every taint: write operator: Exists, or a key"
SECONDS = "tolerationSeconds goes with effect NoExecute; write that, or remove it"
LABEL_VALUES = "In and NotIn need values, Exists and DoesNotExist none"
NODE_VALUES = "In and NotIn need values, Gt and Lt one whole number, Exists and DoesNotExist none"
MIN_DOMAINS = "minDomains goes with whenUnsatisfiable: DoNotSchedule; write that, or remove it"


def check_scheduling(spec: InferenceServiceSpec | AcceleratorClassSpec) -> Iterator[Problem]:
    for path, part in _parts(spec, "spec"):
        match part:
            case Toleration():
                yield from _check_toleration(part, path)
            case LabelSelectorRequirement() | NodeSelectorRequirement():
                if not _suits(part):
                    values = NODE_VALUES if isinstance(part, NodeSelectorRequirement) else LABEL_VALUES
                    yield Problem(f"{path}.values", f"operator {part.operator}: {values}")
            case TopologySpreadConstraint():
                if part.min_domains is not None and part.when_unsatisfiable != "DoNotSchedule":
                    yield Problem(f"{path}.minDomains", MIN_DOMAINS)
            case _:
                pass
    if isinstance(spec, InferenceServiceSpec):
        yield from _check_spread(spec.pod_template.topology_spread_constraints)


def _check_spread(constraints: tuple[TopologySpreadConstraint, ...]) -> Iterator[Problem]:
    seen = set()
    for i, constraint in enumerate(constraints):
        key = (constraint.topology_key, constraint.when_unsatisfiable)
        if key in seen:
            yield Problem(
                f"spec.podTemplate.topologySpreadConstraints[{i}]",
                f"{quoted(key[0])} is spread by {key[1]} already; name it once",
            )
        seen.add(key)


def _parts(document: Document, at: str) -> Iterator[tuple[str, Document]]:
    """The documents within a document, with their paths."""
    for name, field in type(document).model_fields.items():
        value, path = getattr(document, name), f"{at}.{field.alias}"
        if isinstance(value, Document):
            yield path, value
            yield from _parts(value, path)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if isinstance(item, Document):
                    yield f"{path}[{i}]", item
                    yield from _parts(item, f"{path}[{i}]")


def _check_toleration(toleration: Toleration, path: str) -> Iterator[Problem]:
    if toleration.operator == "Exists" and toleration.value:
        yield Problem(f"{path}.value", EXISTS_VALUE)
    if not toleration.key and toleration.operator != "Exists":
        yield Problem(f"{path}.operator", KEYLESS)
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        yield Problem(f"{path}.tolerationSeconds", SECONDS)


def _suits(requirement: Requirement) -> bool:
    values = requirement.values
    if requirement.operator in ("In", "NotIn"):
        return bool(values)
    if requirement.operator in ("Gt", "Lt"):
        return len(values) == 1 and re.fullmatch("-?[0-9]+", values[0]) is not None
    return not values


# --- the same in CEL


def _places(model: type[Document], kind: type[Document]) -> tuple[str, ...]:
    """The lists below spec whose items are of the kind."""
    return tuple(
        f"spec.{path}[]" for path, field in walk_fields(model) if document_in(field.annotation) is kind
    )


def _toleration_rules(at: str) -> tuple[CelRule, ...]:
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
            "!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
            SECONDS,
            ".tolerationSeconds",
        ),
    )


_LABEL_SUITS = (
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
    " : !has(self.values) || size(self.values) == 0"
)
_NODE_SUITS = (
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0"
    " : self.operator in ['Gt', 'Lt'] ? has(self.values) && size(self.values) == 1 && self.values[0].matches('^-?[0-9]+$')"
    " : !has(self.values) || size(self.values) == 0"
)


def make_rules(model: type[Document]) -> tuple[CelRule, ...]:
    """For the spec of an InferenceService or an AcceleratorClass."""
    return (
        *(rule for at in _places(model, Toleration) for rule in _toleration_rules(at)),
        *(
            CelRule(at, suits, values, ".values")
            for kind, suits, values in (
                (LabelSelectorRequirement, _LABEL_SUITS, LABEL_VALUES),
                (NodeSelectorRequirement, _NODE_SUITS, NODE_VALUES),
            )
            for at in _places(model, kind)
        ),
        *(
            CelRule(
                at,
                "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
                MIN_DOMAINS,
                ".minDomains",
            )
            for at in _places(model, TopologySpreadConstraint)
        ),
    )
