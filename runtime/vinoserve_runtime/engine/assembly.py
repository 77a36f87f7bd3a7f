"""From what was compiled to what clients ask: a pool of infer requests, and whatever wraps it."""

from dataclasses import dataclass

from vinoserve_runtime.engine.compile import CompiledModel
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.tensors import Engine


@dataclass(frozen=True)
class Assembly:
    """The engine in layers."""

    engine: Engine
    """What clients ask."""
    pool: InferRequestPool
    """What warm-up, parity and proofs ask: tensors as the graph has them."""


def assemble(compiled: CompiledModel, faults: Faults) -> Assembly:
    """Call it on the event loop that will serve. Every pool of it counts its failures in `faults`."""
    pool = InferRequestPool(
        compiled.compiled,
        compiled.inputs,
        compiled.outputs,
        compiled.infer_requests,
        on_cpu=compiled.on_cpu,
        faults=faults,
    )
    return Assembly(engine=pool, pool=pool)
