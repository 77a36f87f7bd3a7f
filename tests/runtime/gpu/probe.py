"""Runs in a process with emulated GPUs: compiles as the lifecycle does, infers, prints what a test wants to know as JSON.

Usage: probe.py CONFIG MODEL FOLDER
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from vinoserve_api.contract import RuntimeConfig
from vinoserve_runtime.engine.assembly import assemble
from vinoserve_runtime.engine.cache import CompiledCache
from vinoserve_runtime.engine.compile import CompiledModel, compile_model
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.plan import make_plan, prepare_core
from vinoserve_runtime.engine.preflight import make_preflight
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.tensors import NUMPY_DTYPES, TensorInfo


def make_input(tensor: TensorInfo) -> Any:
    random = np.random.default_rng(5)
    shape = [max(1, low) for low, _ in tensor.bounds]
    if tensor.datatype.startswith("FP"):
        return random.random(shape).astype(NUMPY_DTYPES[tensor.datatype]) + np.float32(0.5)
    return random.integers(0, 200, shape).astype(NUMPY_DTYPES[tensor.datatype])


def until_settled(model: CompiledModel) -> list[tuple[str, ...]]:
    """Each set of execution devices that was seen until none stood in for another."""
    seen = [(state := model.observe()).execution_devices]
    while state.is_standing_in:
        time.sleep(0.05)
        state = model.observe()
        if state.execution_devices != seen[-1]:
            seen.append(state.execution_devices)
    return seen


async def main(config: RuntimeConfig, path: Path, cache: Path) -> dict[str, Any]:
    core = ov.Core()
    plan = make_plan(core, config)
    prepare_core(core, plan)
    prepared = prepare_model(core, path, config)
    preflight = make_preflight(core, prepared, config, plan)
    model = compile_model(core, prepared, config, plan, CompiledCache(cache, None, str(path)))
    seen = until_settled(model)
    pool = assemble(model, Faults()).pool
    inputs = [make_input(tensor) for tensor in model.inputs]
    outputs = await asyncio.gather(*(pool.infer(inputs) for _ in range(4)))
    state = model.observe()
    return {
        "seen": seen,
        "names": state.device_names,
        "onRequested": state.on_requested_device,
        "effective": [difference.dump() for difference in state.effective],
        "inferRequests": model.infer_requests,
        "cacheHit": model.cache_hit,
        "placement": {placed.device: placed.operators for placed in preflight.placement},
        "warnings": preflight.warnings + model.cache_warnings,
        "fallback": None if state.on_requested_device else str(model.explain_fallback(state)),
        "outputs": [np.asarray(output[0], np.float64).ravel()[:2000].tolist() for output in outputs],
    }


if __name__ == "__main__":
    try:
        result = asyncio.run(
            main(RuntimeConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
        )
    except StartupError as error:
        result = {"reason": error.reason.value, "message": str(error)}
    sys.stdout.write(f"RESULT {json.dumps(result)}\n")
