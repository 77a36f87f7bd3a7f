"""Inferences on the event loop itself, against real OpenVINO."""

from pathlib import Path

import numpy as np
import pytest

from tests.models import write_adder, write_identity
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from vinoserve_runtime.engine.compile import CompiledModel
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.quick import COPIED_BYTES, QuickRequest


def make_quick(model: CompiledModel) -> QuickRequest:
    types = [port.get_element_type() for port in model.compiled.inputs]
    return QuickRequest(model.compiled.create_infer_request(), model.inputs, model.outputs, types)


def make_quick_pool(model: CompiledModel, faults: Faults) -> InferRequestPool:
    """However long this machine takes."""
    pool = make_pool(model, 1, faults)
    pool._quick = make_quick(model)
    return pool


@pytest.mark.parametrize("size", [4, COPIED_BYTES // 4, COPIED_BYTES // 4 + 1, COPIED_BYTES])
def test_inputs_that_are_copied_and_inputs_that_are_not(tmp_path: Path, size: int) -> None:
    quick = make_quick(compile_file(write_identity(tmp_path / "m.xml", [1, size], "f32"), hints=F32))
    results = []
    for fill in (1.0, 2.0, 3.0):
        x = np.full((1, size), fill, np.float32)
        results += quick.infer([x])
        x[...] = -1  # the caller's again
    for fill, y in zip((1.0, 2.0, 3.0), results, strict=True):
        np.testing.assert_array_equal(y, np.full((1, size), fill, np.float32))


async def test_unaligned_and_read_only_memory_is_taken(tmp_path: Path) -> None:
    pool = make_quick_pool(compile_file(write_adder(tmp_path / "m.xml")), Faults())
    x = np.frombuffer(b"?" + np.arange(4, dtype=np.float32).tobytes(), np.float32, offset=1).reshape(1, 4)
    results = pool.infer_now([x])
    assert results is not None
    np.testing.assert_array_equal(results[0], [[1, 2, 3, 4]])


async def test_what_fails_at_once_is_tried_in_turn(tmp_path: Path) -> None:
    faults = Faults()
    pool = make_quick_pool(compile_file(write_adder(tmp_path / "m.xml")), faults)
    assert pool._quick is not None
    pool._quick._request = None
    x = np.zeros((1, 4), np.float32)
    assert pool.infer_now([x]) is None
    assert faults.total == 0
    (y,) = await pool.infer([x])
    np.testing.assert_array_equal(y, [[1, 1, 1, 1]])


async def test_no_quick_lane_where_shapes_or_devices_may_change(tmp_path: Path) -> None:
    for name, shape, kind in (("a", [-1, 3], "f32"), ("b", [2], "string")):
        pool = make_pool(compile_file(write_identity(tmp_path / f"{name}.xml", shape, kind)))
        x = np.zeros((2, 3), np.float32) if kind == "f32" else np.array([b"a", b"b"], object)
        await pool.learn_speed([x], 0.0)
        assert not pool.is_quick
        assert pool.infer_now([x]) is None


async def test_what_was_slow_when_it_warmed_up_is_not_timed_again(tmp_path: Path) -> None:
    pool = make_pool(compile_file(write_adder(tmp_path / "m.xml")))
    await pool.learn_speed([np.zeros((1, 4), np.float32)], 0.05)
    assert not pool.is_quick
