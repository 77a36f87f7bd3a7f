"""Which operators HETERO runs where, and operators forced onto a device (`spec.operatorAffinity`).

The recipe was measured, OpenVINO 2026.4.1: fold constants first, because shape computations that are cut at the borders of
sub-graphs fail to compile, or fail at the first inference; then give *every* operator an affinity, the forced device for
those asked for and OpenVINO's own answer for the rest, because a partial assignment is refused.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Target
from vinoserve_api.v1alpha1 import OperatorAffinity, Placement
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.ov import ov, wrap_model

NOT_OPERATORS: Final = frozenset({"Parameter", "Result", "Constant"})
"""Nodes that no device runs."""

DOUBTFUL: Final = frozenset({"Convert", "ConvertLike"})
"""What the GPU plugin's query_model leaves out where it is from or to bf16 or i16, and compiles all the same. Others that it
leaves out don't compile (measured with ONNX's node tests, 2026.4.1)."""


def place_operators(
    core: Any, model: Any, target: Target, affinities: Sequence[OperatorAffinity]
) -> tuple[tuple[Placement, ...], list[str]]:
    """How many operators each device of `target` (HETERO:…) runs, and warnings for what the model doesn't have.

    With `affinities` it folds the constants of `model` and pins its operators; without, the model stays as it is.
    Raises StartupError UnsupportedOperator.
    """
    types = {node.get_type_name() for node in model.get_ordered_ops()}
    if affinities:
        manager = ov.passes.Manager()
        manager.register_pass(ov.passes.ConstantFolding())
        manager.run_passes(wrap_model(model))
    placed: dict[str, str] = core.query_model(model, str(target), {})
    nodes = [(node, node.get_friendly_name(), node.get_type_name()) for node in model.get_ordered_ops()]
    forced = dict(_force(nodes, affinities, set(placed.values())))
    for device in dict.fromkeys(forced.values()):
        _check_supported(core, model, device, [node for node in nodes if forced.get(node[1]) == device])
    where = placed | forced
    for _, name, kind in nodes:
        if name not in where and kind not in NOT_OPERATORS | DOUBTFUL:
            raise StartupError(
                FailureReason.UNSUPPORTED_OPERATOR,
                f"no device of {target} supports operator {name!r} of type {kind}; add one that does, such as CPU",
            )
    if affinities:
        for node, name, _ in nodes:
            node.get_rt_info()["affinity"] = where.get(name) or next(iter(where.values()))
    counted = Counter(where[name] for _, name, kind in nodes if name in where and kind not in NOT_OPERATORS)
    placement = tuple(Placement(device=device, operators=count) for device, count in counted.most_common())
    return placement, list(_find_absent(affinities, {name for node in nodes for name in node[1:]}, types))


def _force(
    nodes: Iterable[tuple[Any, str, str]], affinities: Sequence[OperatorAffinity], devices: set[str]
) -> Iterator[tuple[str, str]]:
    """(operator's name, device as OpenVINO calls it)."""
    for _, name, kind in nodes:
        device = next((a.device for a in affinities if kind in a.types or name in a.names), None)
        if device is not None:
            yield name, "GPU.0" if device == "GPU" and "GPU.0" in devices else device


def _check_supported(core: Any, model: Any, device: str, nodes: Sequence[tuple[Any, str, str]]) -> None:
    if device == "CPU":
        return
    supported = core.query_model(model, device, {})
    for _, name, kind in nodes:
        if name not in supported and kind not in DOUBTFUL:
            raise StartupError(
                FailureReason.UNSUPPORTED_OPERATOR,
                f"spec.operatorAffinity: {device} doesn't support operator {name!r} of type {kind}; place it on the CPU",
            )


def _find_absent(
    affinities: Sequence[OperatorAffinity], seen: set[str], present_types: set[str]
) -> Iterator[str]:
    """`seen`: names and types of the operators; `present_types`: types before constants were folded."""
    for index, affinity in enumerate(affinities):
        for kind in affinity.types:
            if kind not in seen:
                gone = " after constant folding" if kind in present_types else ""
                close = [] if gone else get_close_matches(kind, sorted(present_types), n=1, cutoff=0.7)
                hint = f"; did you mean {close[0]}?" if close else ""
                yield f"spec.operatorAffinity[{index}].types: the model has no operator of type {kind}{gone}{hint}"
        for name in affinity.names:
            if name not in seen:
                yield f"spec.operatorAffinity[{index}].names: the model has no operator named {name}"
