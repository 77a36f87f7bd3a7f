"""Which namespaces may use an AcceleratorClass."""

from collections.abc import Mapping
from typing import Final

from vinoserve_api.v1alpha1 import AcceleratorClass, LabelSelector, LabelSelectorRequirement

_MOST_NAMES: Final = 8  # in a sentence


def may_use(accelerator: AcceleratorClass, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether InferenceServices of the namespace, which has these labels, may use the class."""
    allowed = accelerator.spec.allowed_namespaces
    if allowed is None or namespace in (allowed.names or ()):
        return True
    return allowed.selector is not None and selects(allowed.selector, labels)


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """As Kubernetes has it: all of it must hold, and NotIn holds of a label that isn't there."""
    return selector.match_labels.items() <= labels.items() and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def describe_allowed(accelerator: AcceleratorClass) -> str:
    """The namespaces that may use the class, for a sentence."""
    allowed = accelerator.spec.allowed_namespaces
    if allowed is None:
        return "every namespace"
    names = allowed.names or ()
    parts = [*names[:_MOST_NAMES], *([f"{more} others"] if (more := len(names) - _MOST_NAMES) > 0 else [])]
    if allowed.selector is not None:
        parts.append(f"namespaces with the labels {_describe_selector(allowed.selector)}")
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _describe_selector(selector: LabelSelector) -> str:
    """As `kubectl get namespaces -l` takes it."""
    words = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for requirement in selector.match_expressions:
        key, values = requirement.key, ",".join(requirement.values)
        words.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[requirement.operator]
        )
    return ",".join(words)
