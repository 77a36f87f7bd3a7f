"""Names of a model's inputs and outputs, and finding the ones that a user means."""

from collections.abc import Sequence
from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError


def make_names(ports: Sequence[Any], graph: Sequence[str] = ()) -> tuple[str, ...]:
    """A name for each port, each once: the ONNX graph's where it is known, else its tensor's, else its node's.

    A port has a set of tensor names; what is taken of it is the name that its node carries, else the first by alphabet, so
    that a model has the same names at every start.
    """
    if len(graph) == len(ports) == len(set(graph)):
        return tuple(graph)
    taken: list[str] = []
    for port in ports:
        node = port.get_node()
        own = node.get_friendly_name().removesuffix("/sink_port_0")
        candidates = sorted(port.get_names(), key=lambda name, own=own: (name != own, name)) or [own]  # type: ignore[misc]
        free = [name for name in candidates if name not in taken]
        taken.append(free[0] if free else _number(candidates[0], taken))
    return tuple(taken)


def _number(name: str, taken: Sequence[str]) -> str:
    return next(f"{name}.{n}" for n in range(1, len(taken) + 2) if f"{name}.{n}" not in taken)


def find_ports(side: str, wanted: Sequence[str], names: Sequence[str]) -> tuple[int, ...]:
    """The index of each wanted name among `names`; `side` is `inputs` or `outputs` of spec.model.

    A name goes before an index. Raises InvalidInput for what the model doesn't have, or is named twice.
    """
    found: list[int] = []
    for entry, name in enumerate(wanted):
        field = f"spec.model.{side}[{entry}].name"
        if name in names:
            index = list(names).index(name)
        elif name.isdecimal() and int(name) < len(names):
            index = int(name)
        else:
            listed = ", ".join(repr(own) for own in names)
            raise StartupError(
                FailureReason.INVALID_INPUT,
                f"{field}: the model has no {side[:-1]} {name!r}; it has {listed}",
            )
        if index in found:
            raise StartupError(
                FailureReason.INVALID_INPUT, f"{field}: {names[index]!r} has an entry already; merge the two"
            )
        found.append(index)
    return tuple(found)
