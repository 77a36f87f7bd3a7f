"""Which operators keep a model off a device, and what the user can write so that it runs all the same."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import Device
from vinoserve_runtime.errors import StartupError

_NOT_OPERATORS: Final = frozenset({"Parameter", "Result", "Constant"})
_SHOWN: Final = 5


def find_unsupported(core: Any, model: Any, device: str) -> list[tuple[str, str]]:
    """(name, type) of each operator that `device` says it can't run; empty where it doesn't say."""
    with suppress(RuntimeError):
        supported = core.query_model(model, device, {})
        return [
            (node.get_friendly_name(), node.get_type_name())
            for node in model.get_ordered_ops()
            if node.get_type_name() not in _NOT_OPERATORS and node.get_friendly_name() not in supported
        ]
    return []


def explain_unsupported(core: Any, model: Any, devices: Iterable[Device]) -> StartupError | None:
    """UnsupportedOperator for the first of `devices` that can't run the whole model; None where all can."""
    for device in devices:
        if device.kind != "CPU" and (unsupported := find_unsupported(core, model, str(device))):
            return make_unsupported(device, unsupported)
    return None


def make_unsupported(device: Device, unsupported: list[tuple[str, str]]) -> StartupError:
    """Names the operators, and a snippet of spec that moves them to the CPU."""
    types = sorted({kind for _, kind in unsupported})
    names = ", ".join(f"{name} ({kind})" for name, kind in unsupported[:_SHOWN])
    more = f" and {len(unsupported) - _SHOWN} more" if len(unsupported) > _SHOWN else ""
    return StartupError(
        FailureReason.UNSUPPORTED_OPERATOR,
        f"{device} doesn't support {', '.join(types)}: {names}{more}; run them on the CPU with "
        f"targetDevice: HETERO:{device},CPU and, to say which yourself, "
        f"operatorAffinity: [{{device: CPU, types: [{', '.join(types)}]}}]",
    )
