"""HETERO with operators forced onto a device (`spec.operatorAffinity`).

The recipe was measured, OpenVINO 2026.4.1: fold constants first, because shape computations that are cut at the borders of
sub-graphs fail to compile, or fail at the first inference; then give *every* operator an affinity, the forced device for
those asked for and OpenVINO's own answer for the rest, because a partial assignment is refused.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import OperatorAffinity
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.ov import ov, wrap_model


def assign_affinity(
    core: Any, model: Any, target: str, affinities: Sequence[OperatorAffinity]
) -> tuple[str, ...]:
    """Pin the operators of `model` to devices of `target` (HETERO:…); warnings for what the model doesn't have."""
    present_types = {node.get_type_name() for node in model.get_ordered_ops()}
    manager = ov.passes.Manager()
    manager.register_pass(ov.passes.ConstantFolding())
    manager.run_passes(wrap_model(model))
    placed: dict[str, str] = core.query_model(model, target, {})
    forced: dict[str, str] = {}
    seen: set[str] = set()
    for node in model.get_ordered_ops():
        kind, name = node.get_type_name(), node.get_friendly_name()
        seen |= {kind, name}
        device = next((a.device for a in affinities if kind in a.types or name in a.names), None)
        if device is not None:
            forced[name] = _openvino_name(device, placed.values())
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        where = forced.get(name) or placed.get(name)
        if where is None:
            raise StartupError(
                FailureReason.UNSUPPORTED_OPERATOR,
                f"no device of {target} supports operator {name!r} of type {node.get_type_name()}; add one that does, such as CPU",
            )
        node.get_rt_info()["affinity"] = where
    return tuple(_make_warnings(affinities, seen, present_types))


def _openvino_name(device: str, names: Iterable[str]) -> str:
    """`GPU` as the query calls it: `GPU.0`."""
    known = set(names)
    return "GPU.0" if device == "GPU" and "GPU.0" in known else device


def _make_warnings(
    affinities: Sequence[OperatorAffinity], seen: set[str], present_types: set[str]
) -> Iterable[str]:
    for index, affinity in enumerate(affinities):
        for kind in affinity.types:
            if kind not in seen:
                gone = " after constant folding" if kind in present_types else ""
                yield f"spec.operatorAffinity[{index}].types: the model has no operator of type {kind}{gone}"
        for name in affinity.names:
            if name not in seen:
                yield f"spec.operatorAffinity[{index}].names: the model has no operator named {name}"
