"""Buckets against plain OpenVINO: what is padded and cut back is what the model gives for the request as it came."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from tests.models import ppocr_recogniser, write_adder, write_identity, write_sum
from tests.runtime.engine.compiling import F32, check_file, compile_file
from tests.runtime.engine.growing import (
    write_convolution,
    write_doubles,
    write_encoder,
    write_non_zero,
    write_scaled,
)
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine.assembly import assemble
from vinoserve_runtime.engine.buckets import BucketedPool, cut, find_bucket, pad
from vinoserve_runtime.engine.compile import CompiledModel
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.warmup import WarmUp
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.signature import check_shape
from vinoserve_runtime.tensors import Array

RNG = np.random.default_rng(7)


def make_engine(model: CompiledModel) -> BucketedPool:
    pool = assemble(model, Faults()).pool
    assert isinstance(pool, BucketedPool)
    return pool


def compile_plain(path: Path) -> Any:
    core = ov.Core()
    return core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def agree(results: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    for result, expected in zip(results, wanted.values(), strict=True):
        assert result.shape == expected.shape
        assert result.flags.c_contiguous
        np.testing.assert_allclose(result, expected, atol=tolerance)


def refusal(path: Path, **fields: Any) -> StartupError:
    with pytest.raises(StartupError) as caught:
        compile_file(path, **fields)
    return caught.value


SHAPES = nps.array_shapes(min_dims=0, max_dims=4, max_side=5)


@given(
    data=st.data(), array=nps.arrays(st.sampled_from([np.float32, np.int64, np.bool_, np.float16]), SHAPES)
)
def test_what_is_padded_is_cut_back(data: st.DataObject, array: Array) -> None:
    room = tuple(size + data.draw(st.integers(0, 3)) for size in array.shape)
    padded = pad(array, room, array.dtype.type(1))
    assert padded.shape == room
    np.testing.assert_array_equal(cut(padded, array.shape), array)
    assert np.count_nonzero(padded) == np.count_nonzero(array) + padded.size - array.size
    if room == array.shape:
        assert padded is array
        assert cut(padded, array.shape) is array


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1),
    wanted=st.tuples(*[st.integers(1, 9)] * 2),
)
def test_the_smallest_bucket_that_holds_it(sizes: list[tuple[int, int]], wanted: tuple[int, int]) -> None:
    buckets = [(shape,) for shape in sorted(sizes, key=lambda shape: shape[0] * shape[1])]
    found = find_bucket(buckets, [wanted])
    holding = [a * b for a, b in sizes if a >= wanted[0] and b >= wanted[1]]
    assert (found is None) == (not holding)
    if found is not None:
        assert np.prod(buckets[found][0]) == min(holding)


BUCKETS = [[4, 32], [1, 8], [1, 32]]


def make_tokens(*shape: int) -> list[Array]:
    mask = np.ones(shape, np.int64)
    mask[0, shape[1] - 1 :] = shape[1] == 1
    return [RNG.integers(0, 100, shape), mask]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "m.xml")


def compile_encoder(path: Path, buckets: list[list[int]] = BUCKETS, **fields: Any) -> CompiledModel:
    inputs = [{"name": name, "buckets": buckets} for name in ("ids", "mask")]
    return compile_file(path, hints=F32, inputs=inputs, **fields)


@pytest.mark.parametrize("target", ["CPU", "BATCH:CPU(2)", "AUTO:CPU", "HETERO:CPU"])
async def test_an_encoder_with_masks_answers_as_without_buckets(encoder: Path, target: str) -> None:
    model = compile_encoder(encoder, targetDevice=target)
    engine, plain = make_engine(model), compile_plain(encoder)
    assert await WarmUp(engine, Faults(), 2).run() == ()
    assert model.observe().execution_devices == ("CPU",)
    for shape in [(1, 1), (1, 8), (1, 9), (2, 3), (3, 32), (4, 32)]:
        tokens = make_tokens(*shape)
        agree(await engine.infer(tokens), plain(tokens))


def test_metadata_says_what_buckets_hold(encoder: Path) -> None:
    model = compile_encoder(encoder, [[1, 8], [1, 32]])
    assert [(tensor.shape, tensor.bounds) for tensor in model.inputs] == [((1, -1), ((1, 1), (1, 32)))] * 2
    assert [tensor.shape for tensor in model.outputs] == [(1, -1, 16), (1, 16)]
    with pytest.raises(
        InvalidRequestError, match=r'input "ids": shape \[1, 33\] .* its largest bucket is \[1, 32\]'
    ):
        check_shape(model.inputs[0], [1, 33])
    assert check_shape(model.inputs[0], [1, 17]) == (1, 17)


async def test_within_the_bounds_but_in_no_bucket(tmp_path: Path) -> None:
    inputs = [{"name": "x", "buckets": [[1, 3, 32, 16], [1, 3, 16, 32]]}]
    model = compile_file(write_convolution(tmp_path / "m.xml"), inputs=inputs)
    with pytest.raises(InvalidRequestError, match=r'input "x": no bucket holds shape \[1, 3, 32, 32\]'):
        check_shape(model.inputs[0], [1, 3, 32, 32])


async def test_inputs_that_fit_buckets_but_not_the_same(tmp_path: Path) -> None:
    buckets = {"a": [[4], [8]], "b": [[8], [4]]}
    inputs = [{"name": name, "buckets": shapes} for name, shapes in buckets.items()]
    engine = make_engine(compile_file(write_doubles(tmp_path / "m.xml"), inputs=inputs))
    with pytest.raises(
        InvalidRequestError, match=r'no bucket holds input "a" \[8\], input "b" \[8\] together'
    ):
        await engine.infer([np.ones(8, np.float32), np.ones(8, np.float32)])


async def test_what_the_model_itself_refuses_is_the_clients_mistake(encoder: Path) -> None:
    engine = make_engine(compile_encoder(encoder))
    (ids, _), (_, mask) = make_tokens(1, 7), make_tokens(1, 5)
    for _ in range(2):  # asked of OpenVINO, then remembered
        with pytest.raises(
            InvalidRequestError, match=r'input "ids" \[1, 7\], input "mask" \[1, 5\]: the model'
        ):
            await engine.infer([ids, mask])
    tokens = make_tokens(1, 7)
    agree(await engine.infer(tokens), compile_plain(encoder)(tokens))


async def test_many_of_a_new_shape_at_once(encoder: Path) -> None:
    engine, plain = make_engine(compile_encoder(encoder)), compile_plain(encoder)
    requests = [make_tokens(1, length) for length in (5, 6, 7) * 6]
    gone = asyncio.create_task(engine.infer(requests[0]))
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(engine.infer(tokens)) for tokens in requests]
    gone.cancel()
    for tokens, task in zip(requests, tasks, strict=True):
        agree(await task, plain(tokens))


async def test_a_map_follows_the_picture(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml")
    model = compile_file(path, hints=F32, inputs=[{"name": "x", "buckets": [[1, 3, 16, 16], [1, 3, 32, 48]]}])
    assert model.outputs[0].shape == (1, 4, -1, -1)
    engine, plain = make_engine(model), compile_plain(path)
    for shape in [(1, 3, 16, 16), (1, 3, 9, 20), (1, 3, 31, 47)]:
        x = RNG.random(shape, np.float32)
        agree(await engine.infer([x]), plain([x]))


async def test_scores_that_no_padding_reaches_are_left_whole(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml", head="class")
    model = compile_file(path, hints=F32, inputs=[{"name": "x", "buckets": [[1, 3, 16, 16], [1, 3, 32, 48]]}])
    assert model.outputs[0].shape == (1, 4)
    x = RNG.random((1, 3, 9, 19), np.float32)  # odd: the windows beyond it see zeros alone
    agree(await make_engine(model).infer([x]), compile_plain(path)([x]), 1e-4)


async def test_one_bucket_pads_what_the_model_leaves_open(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml")
    model = compile_file(path, hints=F32, inputs=[{"name": "x", "buckets": [[2, 3, 16, 16]]}])
    assert model.inputs[0].shape == (-1, 3, -1, -1)
    x = RNG.random((1, 3, 7, 16), np.float32)
    agree(await make_engine(model).infer([x]), compile_plain(path)([x]))


async def test_padding_happens_before_the_conversion_that_is_built_in(tmp_path: Path) -> None:
    path = write_adder(tmp_path / "m.xml", [1, 3, -1, -1])
    entry = {
        "name": "x",
        "layout": "NCHW",
        "buckets": [[1, 3, 4, 4], [1, 3, 8, 8]],
        "padValue": 114,
        "client": {"elementType": "u8", "layout": "NHWC"},
        "mean": [1, 2, 3],
    }
    model = compile_file(path, hints=F32, inputs=[entry])
    (info,) = model.inputs
    assert (info.datatype, info.shape) == ("UINT8", (1, -1, -1, 3))
    x = RNG.integers(0, 255, (1, 5, 7, 3)).astype(np.uint8)
    (y,) = await make_engine(model).infer([x])
    wanted = np.maximum(x.astype(np.float32) - [1, 2, 3] + 1, 0).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(y, wanted)


async def test_the_pad_value_is_seen(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml", head="class")
    results = []
    for value in (0.0, 5.0):
        entry = {"name": "x", "buckets": [[1, 3, 16, 16], [1, 3, 32, 32]], "padValue": value}
        (y,) = await make_engine(compile_file(path, hints=F32, inputs=[entry])).infer(
            [np.ones((1, 3, 8, 8), np.float32)]
        )
        results.append(y)
    assert not np.allclose(*results)


@pytest.mark.parametrize(
    ("element_type", "value", "message"),
    [("u8", 256, "0 to 255"), ("i64", 0.5, "whole number"), ("boolean", 2, "0 to 1"), ("string", 0, "BYTES")],
)
def test_pad_values_that_the_input_cannot_hold(
    tmp_path: Path, element_type: str, value: float, message: str
) -> None:
    path = write_identity(tmp_path / "m.xml", [-1], element_type)
    error = refusal(path, inputs=[{"name": "x", "buckets": [[4], [8]], "padValue": value}])
    assert error.reason == FailureReason.INVALID_INPUT
    assert message in str(error)
    assert "'x'" in str(error)


async def test_bf16_is_padded_in_its_own_bits(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [-1], "bf16")
    engine = make_engine(
        compile_file(path, hints=F32, inputs=[{"name": "x", "buckets": [[4], [8]], "padValue": 1.5}])
    )
    x = np.array([0x3F80, 0x4000, 0x4040, 0x4080, 0x40A0], np.uint16)
    (y,) = await engine.infer([x])
    np.testing.assert_array_equal(y, x)
    assert engine._pad_values == [0x3FC0]


@pytest.mark.parametrize(
    ("write", "buckets", "message"),
    [
        (
            lambda p: write_convolution(p, head="anchors"),
            [[1, 3, 16, 16], [1, 3, 32, 32]],
            r"output 'y' .*mixes x\[2\], x\[3\]",
        ),
        (
            lambda p: write_scaled(p, [-1, -1], "flat"),
            [[2, 8], [2, 16]],
            r"output 'y' \[32\] .*dimension 0 mixes",
        ),
        (lambda p: write_scaled(p, [2, -1], "flat"), [[2, 8], [2, 16]], r"dimension 0 mixes x\[0\], x\[1\]"),
        (write_non_zero, [[4], [8]], "output 'y' depends on what the inputs hold"),
    ],
)
def test_what_cannot_be_cut_back_is_refused_at_the_start(
    tmp_path: Path, write: Any, buckets: list[list[int]], message: str
) -> None:
    error = refusal(write(tmp_path / "m.xml"), inputs=[{"name": "x", "buckets": buckets}])
    assert error.reason == FailureReason.INVALID_SHAPE
    with pytest.raises(StartupError, match=message):
        raise error


def test_two_lengths_in_one_dimension_are_refused(tmp_path: Path) -> None:
    path = write_doubles(tmp_path / "m.xml", joined=True)
    error = refusal(path, inputs=[{"name": name, "buckets": [[4], [8]]} for name in "ab"])
    assert "output 'c' [16] again: its dimension 0 mixes a[0], b[0]" in str(error)


def test_every_input_is_fixed(tmp_path: Path) -> None:
    error = refusal(write_sum(tmp_path / "m.xml"), inputs=[{"name": "a", "buckets": [[4], [8]]}])
    assert "'b' has [?]" in str(error)


def test_a_bucket_that_the_model_refuses_is_named(tmp_path: Path) -> None:
    path = write_convolution(tmp_path / "m.xml")
    error = refusal(path, inputs=[{"name": "x", "buckets": [[1, 3, 8, 8], [1, 4, 8, 8]]}])
    assert "spec.model.inputs[0].buckets[1]" in str(error)
    assert error.reason == FailureReason.INVALID_SHAPE


def test_static_targets_take_buckets(encoder: Path) -> None:
    entries = [{"name": name, "buckets": BUCKETS} for name in ("ids", "mask")]
    assert check_file(encoder, targetDevice="BATCH:CPU(4)", inputs=entries).warnings == ()
    with pytest.raises(StartupError, match="needs static shapes"):
        check_file(encoder, targetDevice="BATCH:CPU(4)")


def test_each_bucket_is_cached(encoder: Path, tmp_path: Path) -> None:
    assert compile_encoder(encoder, cache_dir=tmp_path / "cache").cache_hit is False
    assert compile_encoder(encoder, cache_dir=tmp_path / "cache").cache_hit is True
    other = compile_encoder(encoder, [[1, 8], [1, 16]], cache_dir=tmp_path / "cache")
    assert other.cache_hit is False


async def test_a_text_recogniser_takes_lines_of_any_width() -> None:
    path = ppocr_recogniser()
    entry = {"name": "x", "buckets": [[1, 3, 48, 160], [1, 3, 48, 320]]}
    model = compile_file(path, hints=F32, inputs=[entry])
    assert model.inputs[0].shape == (1, 3, 48, -1)
    engine, plain = make_engine(model), compile_plain(path)
    for width in (160, 200, 320):
        x = RNG.random((1, 3, 48, width), np.float32)
        (y,), wanted = await engine.infer([x]), plain([x])[0]
        assert y.shape == wanted.shape
        if width != 200:
            np.testing.assert_allclose(y, wanted, atol=1e-4)


@pytest.fixture(scope="module")
def compiled(encoder: Path) -> tuple[CompiledModel, Any]:
    return compile_encoder(encoder), compile_plain(encoder)


@settings(max_examples=15, deadline=None)
@given(shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 32)), min_size=1, max_size=4))
async def test_any_shapes_at_once(compiled: tuple[CompiledModel, Any], shapes: list[tuple[int, int]]) -> None:
    engine, plain = make_engine(compiled[0]), compiled[1]
    requests = [make_tokens(*shape) for shape in shapes]
    for tokens, results in zip(requests, await asyncio.gather(*map(engine.infer, requests)), strict=True):
        agree(results, plain(tokens))
