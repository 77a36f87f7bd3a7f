"""From what was compiled to what clients ask: a pool of infer requests, and whatever wraps it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vinoserve_runtime.engine.batching import Batcher
from vinoserve_runtime.engine.buckets import BucketedPool
from vinoserve_runtime.engine.compile import CompiledModel
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.ports import make_tensor_infos
from vinoserve_runtime.tensors import Engine


@dataclass(frozen=True)
class Assembly:
    """The engine in layers."""

    engine: Engine
    """What clients ask."""
    pool: InferRequestPool | BucketedPool
    """What warm-up, parity and proofs ask: tensors as the graph has them."""

    @property
    def is_at_rest(self) -> bool:
        """Whether OpenVINO infers nothing, not even for somebody who has gone away."""
        return all(pool.is_at_rest for pool in self.pool.variants)

    def close(self) -> list[Any]:
        """When it is at rest and nothing comes any more: what takes its time to be let go of."""
        return [held for pool in self.pool.variants for held in pool.close()]


def assemble(
    compiled: CompiledModel, faults: Faults, on_batch: Callable[[int], None] = lambda _: None
) -> Assembly:
    """Call it on the event loop that will serve. Every pool of it counts its failures in `faults`.

    `on_batch`: is told the samples of each inference where requests are put together here.
    """
    pool = _make_pool(compiled, faults)
    engine = pool if compiled.batch_plan is None else Batcher(pool, compiled.batch_plan, on_batch)
    return Assembly(engine=engine, pool=pool)


def _make_pool(compiled: CompiledModel, faults: Faults) -> InferRequestPool | BucketedPool:
    bucketing = compiled.bucketing
    if bucketing is None:
        return InferRequestPool(
            compiled.compiled,
            compiled.inputs,
            compiled.outputs,
            compiled.infer_requests,
            on_cpu=compiled.on_cpu,
            faults=faults,
            warm_shapes=compiled.warm_shapes,
        )
    pools = [
        InferRequestPool(
            one,
            make_tensor_infos(one.inputs, [info.name for info in compiled.inputs]),
            make_tensor_infos(one.outputs, [info.name for info in compiled.outputs]),
            int(one.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")),
            on_cpu=compiled.on_cpu,
            faults=faults,
        )
        for one in compiled.buckets
    ]
    return BucketedPool(pools, compiled.inputs, compiled.outputs, bucketing.true_shapes, bucketing.pad_values)
