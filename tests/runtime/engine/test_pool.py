"""The pool against real OpenVINO: every type, every shape, failures, cancellations, concurrency."""

import asyncio
import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import write_adder, write_classifier, write_identity, write_sum
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.warmup import WarmUp
from vinoserve_runtime.errors import InferenceError, StartupError
from vinoserve_runtime.tensors import NUMPY_DTYPES

TYPES = {
    "boolean": "BOOL",
    **{
        kind + size: name + size
        for kind, name in (("u", "UINT"), ("i", "INT"))
        for size in ("8", "16", "32", "64")
    },
    "f16": "FP16",
    "bf16": "BF16",
    "f32": "FP32",
    "f64": "FP64",
}


def settle(pool: InferRequestPool) -> None:
    assert len(pool._idle) == pool.size


@pytest.mark.parametrize(("element_type", "datatype"), TYPES.items())
@pytest.mark.parametrize("shape", [[2, 3], [-1, 3], [], [1]])
async def test_every_type_and_shape_comes_back_as_it_went(
    tmp_path: Path, element_type: str, datatype: str, shape: list[int]
) -> None:
    pool = make_pool(compile_file(write_identity(tmp_path / "m.xml", shape, element_type), hints=F32))
    assert pool.inputs[0].datatype == pool.outputs[0].datatype == datatype
    sent = np.array([0, 1, 1, 0, 1, 0], np.uint8)[: int(np.prod([2 if d == -1 else d for d in shape]))]
    sent = sent.reshape([2 if d == -1 else d for d in shape])
    x = (sent.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16) if datatype == "BF16" else sent
    x = np.array(x, NUMPY_DTYPES[datatype])
    for _ in range(2):  # on OpenVINO's threads, then on the event loop where the model is quick
        (y,) = await pool.infer([x])
        assert y.dtype == NUMPY_DTYPES[datatype]
        np.testing.assert_array_equal(y, x)
        await pool.learn_speed([x], 0.0)
    settle(pool)


async def test_strings_come_back_whole_or_are_refused(tmp_path: Path) -> None:
    pool = make_pool(compile_file(write_identity(tmp_path / "m.xml", [2], "string")))
    assert pool.inputs[0].datatype == "BYTES"
    (y,) = await pool.infer([np.array([b"\xff\0a", b""], object)])
    assert y.tolist() == [b"\xff\0a", b""]
    with pytest.raises(InferenceError, match="zero byte"):
        await pool.infer([np.array([b"a\0", b""], object)])
    settle(pool)


async def test_read_only_memory_of_the_network_is_taken_as_it_is(tmp_path: Path) -> None:
    pool = make_pool(compile_file(write_adder(tmp_path / "m.xml")))
    x = np.frombuffer(np.arange(4, dtype=np.float32).tobytes(), np.float32).reshape(1, 4)
    assert not x.flags.writeable
    (y,) = await pool.infer([x])
    np.testing.assert_array_equal(y, [[1, 2, 3, 4]])


async def test_results_are_the_callers_own(tmp_path: Path) -> None:
    pool = make_pool(compile_file(write_adder(tmp_path / "m.xml")), size=1)
    (first,) = await pool.infer([np.zeros((1, 4), np.float32)])
    await pool.infer([np.full((1, 4), 5, np.float32)])
    np.testing.assert_array_equal(first, [[1, 1, 1, 1]])


@given(lengths=st.lists(st.integers(0, 50), min_size=1, max_size=8), size=st.integers(1, 3))
@settings(max_examples=15)
async def test_requests_of_any_length_at_once_each_get_their_own(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "sum.xml"
    pool = make_pool(compile_file(path if path.exists() else write_sum(path)), size=size)
    inputs = [(np.arange(n, dtype=np.float32), np.full(n, k, np.float32)) for k, n in enumerate(lengths)]
    results = await asyncio.gather(*(pool.infer(pair) for pair in inputs))
    for (a, b), (y,) in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(y, a + b)
    settle(pool)


async def test_a_failing_inference_says_why_and_the_pool_goes_on(tmp_path: Path) -> None:
    faults = Faults()
    pool = make_pool(compile_file(write_sum(tmp_path / "m.xml")), 2, faults)
    for _ in range(4):
        with pytest.raises(InferenceError, match="Add") as caught:
            await pool.infer([np.zeros(3, np.float32), np.zeros(4, np.float32)])
        assert "Exception from" not in str(caught.value)
    assert faults.total == faults.in_a_row == 4
    (y,) = await pool.infer([np.zeros(3, np.float32), np.ones(3, np.float32)])
    np.testing.assert_array_equal(y, [1, 1, 1])
    assert (faults.total, faults.in_a_row) == (4, 0)
    settle(pool)


async def test_a_cancelled_caller_takes_nothing_from_the_others(tmp_path: Path) -> None:
    pool = make_pool(compile_file(write_classifier(tmp_path / "m.xml"), hints=F32), size=2)
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    (wanted,) = await pool.infer([x])
    for round_ in range(20):
        tasks = [asyncio.create_task(pool.infer([x.copy()])) for _ in range(8)]
        await asyncio.sleep(0)
        for task in tasks[round_ % 3 :: 2]:
            task.cancel()
        del task
        gc.collect()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(result, asyncio.CancelledError):
                np.testing.assert_allclose(result[0], wanted, rtol=1e-5)
    (again,) = await pool.infer([x])
    np.testing.assert_allclose(again, wanted, rtol=1e-5)
    settle(pool)


async def test_warm_up_takes_a_usual_size_within_the_bounds(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, -1, 3])
    faults = Faults()
    pool = make_pool(compile_file(path, inputs=[{"name": "x", "shape": ["2..7", -1, 3]}]), faults=faults)
    assert pool.warm_shapes == ((2, 224, 3),)
    warm_up = WarmUp(pool, faults, 3)
    assert await warm_up.run() == ()
    assert await warm_up.proves_engine()


async def test_a_dynamic_model_that_refuses_the_smallest_input_is_served_with_a_warning(
    tmp_path: Path,
) -> None:
    fields = {"inputs": [{"name": "a", "shape": ["2..7"]}, {"name": "b", "shape": ["3..7"]}]}
    faults = Faults()
    compiled = replace(compile_file(write_sum(tmp_path / "m.xml"), **fields), warm_shapes=())
    pool = make_pool(compiled, faults=faults)
    warm_up = WarmUp(pool, faults, 3)
    (warning,) = await warm_up.run()
    assert "a [2], b [3]" in warning
    assert faults.in_a_row == 0
    assert await warm_up.proves_engine()


class Broken:
    """A pool whose device is gone."""

    def __init__(self, pool: InferRequestPool) -> None:
        self.inputs, self.warm_shapes, self.variants = pool.inputs, pool.warm_shapes, (self,)

    async def infer(self, tensors: object) -> None:
        raise InferenceError("device lost")


async def test_a_static_model_that_fails_its_warm_up_is_not_served(tmp_path: Path) -> None:
    pool = make_pool(compile_file(write_adder(tmp_path / "m.xml")))
    with pytest.raises(StartupError, match=r"x \[1, 4\].*device lost"):
        await WarmUp(Broken(pool), Faults(), 3).run()  # type: ignore[arg-type]
