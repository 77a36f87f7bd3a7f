"""`vinoserve devices`: what OpenVINO sees here, for people and for programs."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from vinoserve_cli.extras import needs

if TYPE_CHECKING:
    from vinoserve_runtime.engine.inventory import DeviceFacts, Inventory


def show_devices(output: str) -> int:
    """`output`: text or json. A device that isn't here is no failure: the exit code is 0."""
    with needs("runtime", "devices"):
        from vinoserve_runtime.engine.inventory import gather_inventory
    inventory = gather_inventory()
    if output == "json":
        print(json.dumps(_to_wire(asdict(inventory)), indent=2))
    elif sys.stdout.isatty():
        _print_table(inventory)
    else:
        _print_lines(inventory)
    return 0


def _to_wire(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_camel(key): _to_wire(one) for key, one in value.items()}
    return [_to_wire(one) for one in value] if isinstance(value, list | tuple) else value


def _print_lines(inventory: "Inventory") -> None:
    """A device a paragraph, a fact a line, for grep."""
    print(f"OpenVINO {inventory.openvino}")
    for device in inventory.devices:
        print(f"\n{device.device}: {device.name}")
        for label, text in _describe(device):
            print(f"  {label}: {text}")
    for missing in inventory.missing:
        print(f"\n{missing.device}: not visible ({missing.reason})\n  {missing.message}")


def _print_table(inventory: "Inventory") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"OpenVINO {inventory.openvino}", title_justify="left", show_lines=True)
    for column in ("DEVICE", "NAME", ""):
        table.add_column(column, overflow="fold")
    for device in inventory.devices:
        facts = "\n".join(f"{label}: {text}" for label, text in _describe(device))
        table.add_row(Text(device.device, style="bold green"), Text(device.name), Text(facts))
    for missing in inventory.missing:
        table.add_row(
            Text(missing.device, style="bold red"),
            Text(f"not visible\n{missing.reason}"),
            Text(missing.message),
        )
    Console().print(table)


def _describe(device: "DeviceFacts") -> list[tuple[str, str]]:
    """What it says of itself, by labels."""
    from vinoserve_runtime.engine.memory import show_bytes

    facts = (
        ("type", device.type and device.type.lower()),
        ("architecture", device.architecture),
        ("memory", device.memory_bytes and show_bytes(device.memory_bytes)),
        ("capabilities", " ".join(device.capabilities)),
        ("execution units", device.execution_units and str(device.execution_units)),
        ("streams", device.streams and "{} to {}".format(*device.streams)),
        ("driver", device.driver),
        ("pci", device.pci),
    )
    return [(label, str(text)) for label, text in facts if text]
