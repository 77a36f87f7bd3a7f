"""What has to be written, given what is there: nothing where both say the same."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final

from vinoserve_api.quantity import quantity_value
from vinoserve_operator.desired.children import Children
from vinoserve_operator.desired.names import COMPILED_ANNOTATION, RENDERED_ANNOTATION
from vinoserve_operator.desired.rendering import annotate

_WHOLE: Final = frozenset({"selector", "matchLabels", "nodeSelector"})
"""Maps that server-side apply takes as a whole (`x-kubernetes-map-type: atomic`): one label more selects other pods, or none."""

Object = dict[str, Any]
Key = tuple[str, str]
"""Kind and name: what tells the children of one service from each other."""


def make_key(child: Object) -> Key:
    return child["kind"], child["metadata"]["name"]


def make_plan(desired: Iterable[Object], observed: Iterable[Object]) -> list[Object]:
    """The objects to apply, in the order given; `observed` are the present children."""
    present = {make_key(child): child for child in observed}
    return [wanted for wanted in desired if not is_settled(wanted, present.get(make_key(wanted)))]


def hold_back(children: Children, deployment: Object | None, job: Object | None) -> Children:
    """What of it may be applied now: new pods wait for the Job that compiles their model (`spec.precompile`).

    `deployment` and `job` are as they are. A template that runs already, or whose model was compiled before, needs no Job,
    nor does one that no pod shall be made of. What the cache was filled for is written on the Deployment, since Jobs go.
    """
    precompile = children.precompile
    if precompile is None:
        return children
    wanted = children.deployment["spec"]
    present = (deployment or {}).get("spec") or {}
    annotations = ((deployment or {}).get("metadata") or {}).get("annotations") or {}
    runs = bool(present.get("replicas"))
    is_filled = annotations.get(COMPILED_ANNOTATION) == precompile.key or is_complete(job)
    if not wanted["replicas"] and not is_filled:
        return replace(children, precompile=None)
    if is_filled or (runs and (precompile.yields or holds(wanted["template"], present.get("template")))):
        filled = annotate(children.deployment, {COMPILED_ANNOTATION: precompile.key})
        return replace(children, precompile=None, deployment=filled)
    return replace(children, held=True)


def is_complete(job: Object | None) -> bool:
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Complete" and c.get("status") == "True" for c in conditions)


def find_superfluous(desired: Iterable[Object], extras: Collection[Object], owner: str) -> list[Object]:
    """Those of the present `extras` that are wanted no more; what `owner` (a uid) doesn't control is somebody else's."""
    wanted = {make_key(child) for child in desired}
    return [
        extra
        for extra in extras
        if make_key(extra) not in wanted
        and not extra["metadata"].get("deletionTimestamp")
        and any(
            reference.get("controller") and reference["uid"] == owner
            for reference in extra["metadata"].get("ownerReferences") or ()
        )
    ]


def is_settled(wanted: Object, present: Object | None) -> bool:
    """Whether applying `wanted` would change nothing.

    Two questions: was this very object applied last (its digest: fields that are rendered no more must go), and does it
    still hold (somebody may have changed a field since). What others added to it is theirs.
    """
    return present is not None and _was_applied(wanted, present) and holds(wanted, present)


def _was_applied(wanted: Object, present: Object) -> bool:
    annotations = present["metadata"].get("annotations") or {}
    digest = wanted["metadata"]["annotations"][RENDERED_ANNOTATION]
    return bool(annotations.get(RENDERED_ANNOTATION) == digest)


def find_drift(wanted: Object, present: Object) -> str | None:
    """The first field at which a child that was applied like this differs now; None where it is to be another since.

    Annotations don't count: ours keep notes.
    """
    if not _was_applied(wanted, present):
        return None
    metadata = {key: value for key, value in wanted["metadata"].items() if key != "annotations"}
    return _find_difference({**wanted, "metadata": metadata}, present)


def _find_difference(wanted: Object, present: Object) -> str | None:
    for key, value in wanted.items():
        there = present.get(key)
        if not holds({key: value}, {key: there}):
            inner = (
                _find_difference(value, there)
                if isinstance(value, dict) and isinstance(there, dict)
                else None
            )
            return f"{key}.{inner}" if inner else key
    return None


def holds(wanted: Any, present: Any) -> bool:
    """Whether all that is wanted is there: the API server fills in defaults, drops what is empty, and writes quantities its own way."""
    if isinstance(wanted, dict):
        fields = present if isinstance(present, dict) else {}
        return all(
            value == fields.get(key)
            or (holds(value, fields.get(key)) and not (key in _WHOLE and _has_more(fields.get(key), value)))
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return _holds_list(wanted, present if isinstance(present, list) else [])
    if wanted == present or (wanted in ("", None, False) and present is None):
        return True
    return isinstance(wanted, str) and isinstance(present, str) and _same_quantity(wanted, present)


def _has_more(present: Any, wanted: Any) -> bool:
    return isinstance(present, dict) and bool(present.keys() - wanted.keys())


def _holds_list(wanted: list[Any], present: list[Any]) -> bool:
    """Items that have unique names are looked up by them (others may have added theirs), other lists are taken as a whole."""
    names = [item.get("name") for item in wanted if isinstance(item, dict)]
    if names and len(names) == len(wanted) and all(names) and len(set(names)) == len(names):
        there = {item.get("name"): item for item in present if isinstance(item, dict)}
        return all(
            name in there and holds(item, there[name]) for name, item in zip(names, wanted, strict=True)
        )
    return len(wanted) == len(present) and all(holds(*pair) for pair in zip(wanted, present, strict=True))


def _same_quantity(wanted: str, present: str) -> bool:
    """1000m is 1: the API server writes the shorter one."""
    try:
        return quantity_value(wanted) == quantity_value(present)
    except ValueError:
        return False
