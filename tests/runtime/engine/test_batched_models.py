"""Models in batches, with OpenVINO: they answer as without, and those that can't be batched are refused with what to write."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import write_identity
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import F32, compile_file
from tests.runtime.engine.growing import write_encoder, write_non_zero, write_scaled
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine.assembly import assemble
from vinoserve_runtime.engine.batching import Batcher
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.plan import make_plan
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.ov import ov
from vinoserve_runtime.protocol.signature import check_shape

RNG = np.random.default_rng(5)
BATCHING = {"maxBatchSize": 8}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    path = write_encoder(tmp_path_factory.mktemp("encoder") / "m.xml")
    return compile_file(path, hints=F32), compile_file(path, hints=F32, batching=BATCHING)


@settings(max_examples=15, deadline=None)
@given(shapes=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([4, 9])), min_size=1, max_size=12))
async def test_an_encoder_answers_as_without_batching(
    encoders: tuple[Any, Any], shapes: list[tuple[int, int]]
) -> None:
    plain, batched = (assemble(model, Faults()).engine for model in encoders)
    assert isinstance(batched, Batcher)
    requests = [[RNG.integers(0, 100, shape), np.ones(shape, np.int64)] for shape in shapes]
    results = await asyncio.gather(*map(batched.infer, requests))
    for request, result in zip(requests, results, strict=True):
        for got, wanted in zip(result, await plain.infer(request), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)


async def test_strings_go_together(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, 2], "string")
    batches: list[int] = []
    engine = assemble(compile_file(path, batching=BATCHING), Faults(), batches.append).engine
    requests = [np.array([[b"a", b"\xff"]], object), np.array([[b"", b"bcd"], [b"e", b"f"]], object)]
    results = await asyncio.gather(*(engine.infer([request]) for request in requests))
    for request, (y,) in zip(requests, results, strict=True):
        assert y.tolist() == request.tolist()
    assert batches == [3]


async def test_batches_fill_buckets(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "m.xml")
    entries = [{"name": name, "buckets": [[1, 8], [8, 8]]} for name in ("ids", "mask")]
    batches: list[int] = []
    model = compile_file(path, hints=F32, inputs=entries, batching=BATCHING)
    engine = assemble(model, Faults(), batches.append).engine
    requests = [[RNG.integers(0, 100, (1, 8)), np.ones((1, 8), np.int64)] for _ in range(5)]
    together = await asyncio.gather(*map(engine.infer, requests))
    for request, results in zip(requests, together, strict=True):
        for got, wanted in zip(results, await engine.infer(request), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert batches == [5, 1, 1, 1, 1, 1]


def refusal(path: Path, **fields: Any) -> str:
    with pytest.raises(StartupError) as caught:
        compile_file(path, **fields)
    assert caught.value.reason == FailureReason.INVALID_SHAPE
    assert str(caught.value).startswith("spec.batching.maxBatchSize: ")
    return str(caught.value)


def test_a_fixed_batch_says_what_to_write(tmp_path: Path) -> None:
    message = refusal(write_scaled(tmp_path / "m.xml", [1, 4]), batching={"maxBatchSize": 16})
    assert (
        "input 'x' takes a batch of 1 alone; write shape [\"1..16\", 4] for it, or targetDevice BATCH:CPU"
        in message
    )


def test_a_bound_below_the_batch(tmp_path: Path) -> None:
    inputs = [{"name": "x", "shape": ["1..4", 4]}]
    message = refusal(write_scaled(tmp_path / "m.xml", [-1, 4]), inputs=inputs, batching=BATCHING)
    assert 'at most 4 in a batch; write shape ["1..8", 4]' in message


@pytest.mark.parametrize(("output", "shape"), [("total", "[4]"), ("flat", "[8]")])
def test_an_output_without_a_batch_is_named(tmp_path: Path, output: str, shape: str) -> None:
    message = refusal(write_scaled(tmp_path / "m.xml", [-1, 4], output), batching=BATCHING)
    assert f"output 'y' has the shape {shape} for 2 samples" in message


def test_an_output_whose_size_nobody_knows_is_named(tmp_path: Path) -> None:
    assert "output 'y'" in refusal(write_non_zero(tmp_path / "m.xml"), batching=BATCHING)


def test_buckets_too_small_for_the_batch(tmp_path: Path) -> None:
    entries = [{"name": name, "buckets": [[1, 8], [4, 8]]} for name in ("ids", "mask")]
    message = refusal(write_encoder(tmp_path / "m.xml"), inputs=entries, batching=BATCHING)
    assert "'ids' takes at most 4 in a batch; write buckets that hold 8 samples" in message


def test_a_layout_without_n(tmp_path: Path) -> None:
    inputs = [{"name": "x", "layout": "TC"}]
    message = refusal(write_scaled(tmp_path / "m.xml", [-1, 4]), inputs=inputs, batching=BATCHING)
    assert "layout TC of input 'x' has no N" in message


async def test_on_the_device_it_is_batchs_own(tmp_path: Path) -> None:
    batching = {"maxBatchSize": 4, "timeoutMilliseconds": 7}
    path = write_scaled(tmp_path / "m.xml", [1, 4])
    model = compile_file(path, targetDevice="BATCH:CPU", batching=batching)
    assert model.infer_requests == 4
    assert model.compiled.get_property("AUTO_BATCH_TIMEOUT") == 7
    assert model.observe().effective == ()
    assert not isinstance(assemble(model, Faults()).engine, Batcher)
    plan = make_plan(ov.Core(), make_config(path, targetDevice="BATCH:CPU", batching=batching))
    assert str(plan.target) == "BATCH:CPU(4)"


def test_a_batch_over_the_bound_is_refused_with_it(tmp_path: Path) -> None:
    inputs = [{"name": "x", "shape": ["1..16", 3, 4, 4]}]
    model = compile_file(write_scaled(tmp_path / "m.xml", [-1, 3, 4, 4]), inputs=inputs)
    assert check_shape(model.inputs[0], [16, 3, 4, 4])
    with pytest.raises(Exception, match=r'input "x": shape \[17, 3, 4, 4\] .* \[1\.\.16, 3, 4, 4\]'):
        check_shape(model.inputs[0], [17, 3, 4, 4])
