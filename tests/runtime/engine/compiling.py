"""Compile as the lifecycle does, without one."""

from pathlib import Path
from typing import Any

from tests.runtime.configs import make_config
from vinoserve_api.contract import RuntimeConfig
from vinoserve_runtime.engine.cache import CompiledCache
from vinoserve_runtime.engine.compile import CompiledModel, compile_model
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.plan import make_plan, prepare_core
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.preflight import Preflight, make_preflight
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov

F32 = {"inferencePrecision": "f32"}


def compile_file(path: Path, cache_dir: Path | None = None, **fields: Any) -> CompiledModel:
    return compile_config(path, make_config(path, **fields), cache_dir)


def compile_config(path: Path, config: RuntimeConfig, cache_dir: Path | None = None) -> CompiledModel:
    core = ov.Core()
    plan = make_plan(core, config)
    prepare_core(core, plan)
    cache = CompiledCache(cache_dir, config.cache_size_limit, str(path)) if cache_dir else None
    prepared = prepare_model(core, path, config)
    make_preflight(core, prepared, config, plan)
    return compile_model(core, prepared, config, plan, cache)


def check_file(path: Path, **fields: Any) -> Preflight:
    """What is said before anything is compiled."""
    core, config = ov.Core(), make_config(path, **fields)
    return make_preflight(core, prepare_model(core, path, config), config, make_plan(core, config))


def make_pool(
    model: CompiledModel, size: int | None = None, faults: Faults | None = None
) -> InferRequestPool:
    return InferRequestPool(
        model.compiled,
        model.inputs,
        model.outputs,
        size or model.infer_requests,
        on_cpu=model.on_cpu,
        faults=faults or Faults(),
        warm_shapes=model.warm_shapes,
    )
