"""Runs in a process with an emulated GPU: sets every property of the catalogue, one at a time, and prints what became of it."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.models import write_classifier
from tests.runtime.configs import make_config
from vinoserve_api.properties import CATALOGUE
from vinoserve_api.properties.spec import PropertySpec
from vinoserve_runtime.engine.compile import CompiledModel, compile_model
from vinoserve_runtime.engine.effective import show_value
from vinoserve_runtime.engine.plan import make_plan, prepare_core
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov

TARGETS = {
    "CPU": "CPU",
    "GPU": "GPU",
    "AUTO": "AUTO:CPU",
    "HETERO": "HETERO:GPU,CPU",
    "BATCH": "BATCH:CPU(2)",
}
NOT_HERE = frozenset({"WEIGHTS_PATH", "CONFIG_FILE", "GPU_ENABLE_LARGE_ALLOCATIONS"})
"""They need files, or a driver, that aren't here."""


def make_value(spec: PropertySpec) -> Any:
    """One that isn't the default, where there is one."""
    match spec.type:
        case "bool":
            return spec.default != "true"
        case "enum":
            return next(value for value in reversed(spec.values) if value != spec.default)
        case "int" | "float" | "streams":
            return min(2, spec.maximum / 2 if spec.type == "float" and spec.maximum else 2)
        case "utilization":
            return {"CPU": 80}
        case "curves":
            return {"CPU": {"0": 1.0, "100": 2.0}}
        case "device":
            return "CPU"
        case _:
            return "2"


def read_back(model: CompiledModel, device: str, key: str) -> Any:
    for request in model.plan.configuration.requested:
        if request.key == key and request.device.startswith(device):
            try:
                return show_value(model.compiled.get_property(key))
            except RuntimeError:
                return None
    return "never asked for"


def main(folder: Path) -> list[dict[str, Any]]:
    found = []
    for spec in CATALOGUE:
        for block in sorted(spec.blocks & TARGETS.keys()):
            if not spec.settable or spec.key in NOT_HERE:
                continue
            value = make_value(spec)
            config = make_config(
                folder / "m.xml", targetDevice=TARGETS[block], properties={block: {spec.key: value}}
            )
            row: dict[str, Any] = {"block": block, "key": spec.key, "value": value}
            try:
                core = ov.Core()
                plan = make_plan(core, config)
                prepare_core(core, plan)
                model = compile_model(core, prepare_model(core, folder / "m.xml", config), config, plan, None)
                state = model.observe()
                row["effective"] = {d.property: d.effective for d in state.effective}
                row["before_read"] = spec.before_read
                row["read"] = None if spec.before_read else read_back(model, block, spec.key)
                del model
            except StartupError as error:
                row |= {"reason": error.reason.value, "message": str(error)}
            found.append(row)
    return found


if __name__ == "__main__":
    write_classifier(Path(sys.argv[1]) / "m.xml")
    sys.stdout.write(f"RESULT {json.dumps(main(Path(sys.argv[1])))}\n")
