"""The target beside the reference: inputs that models take, figures that are right, a mismatch that says what to do."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openvino import opset15 as ops

from tests.models import save_model, write_adder, write_classifier, write_identity
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import Parity, ParityStatus
from vinoserve_runtime.engine.parity import Reference, Worst, compare, explain_mismatch
from vinoserve_runtime.engine.samples import find_index_limits, load_samples, make_random, to_bf16
from vinoserve_runtime.errors import InferenceError, StartupError
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.tensors import Array, Engine, TensorInfo


def info(datatype: str, *bounds: tuple[int, int | None], name: str = "x") -> TensorInfo:
    shape = tuple(low if low == high else -1 for low, high in bounds)
    return TensorInfo(name, datatype, shape, bounds)


class Computing:
    """An engine that computes in numpy."""

    size = 1

    def __init__(self, compute: Callable[[Array], Array], datatype: str = "FP32", sent: str = "FP32") -> None:
        self._compute = compute
        self.inputs = (info(sent, (1, 1), (4, 4)),)
        self.outputs = (TensorInfo("y", datatype, (1, 4), ((1, 1), (4, 4))),)

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        return [self._compute(tensors[0])]


async def ask(target: Engine, reference: Engine, **fields: Any) -> tuple[ParityStatus, Worst | None]:
    parity = Parity.load({"random": 3, **fields})
    return await compare(target, reference, parity, Path("/nowhere"), [None])


def twice(x: Array) -> Array:
    return x * 2


async def test_equal_results_pass_with_figures_of_zero() -> None:
    status, worst = await ask(Computing(twice), Computing(twice))
    (output,) = status.outputs
    assert (status.passed, status.samples, status.reference, worst) == (True, 3, "CPU f32", None)
    assert (output.name, output.max_absolute_error, output.max_relative_error) == ("y", 0, 0)
    assert output.cosine == pytest.approx(1)


def off_by(error: float) -> Callable[[Array], Array]:
    def compute(x: Array) -> Array:
        y = x * 2
        y[0, 2] += error
        return y

    return compute


async def test_the_worst_element_is_named_with_both_values() -> None:
    exact = {"tolerance": {"rtol": 0, "atol": 0.25}}
    status, worst = await ask(Computing(off_by(0.5)), Computing(twice), **exact)
    assert not status.passed
    assert status.outputs[0].max_absolute_error == pytest.approx(0.5, rel=1e-5)
    assert worst is not None
    assert worst.output == "y"
    assert worst.excess == pytest.approx(2, rel=1e-5)
    assert "at [0, 2] it is" in worst.text
    assert "0.25 + 0 of the reference is allowed" in worst.text
    status, _ = await ask(Computing(off_by(0.2)), Computing(twice), **exact)
    assert status.passed


async def test_a_relative_tolerance_grows_with_the_reference() -> None:
    status, _ = await ask(
        Computing(lambda x: x * 2.02), Computing(twice), tolerance={"rtol": 0.011, "atol": 1e-9}
    )
    assert status.passed
    assert status.outputs[0].max_relative_error == pytest.approx(0.01, rel=1e-3)


async def test_a_cosine_judges_the_whole_instead() -> None:
    target = Computing(lambda x: x * 3)  # as alike as can be
    assert (await ask(target, Computing(twice), tolerance={"cosine": 0.999}))[0].passed
    status, worst = await ask(Computing(lambda x: -x), Computing(twice), tolerance={"cosine": 0.999})
    assert not status.passed
    assert status.outputs[0].cosine == pytest.approx(-1)
    assert worst is not None
    assert "the cosine is -1.000000, at least 0.999 is asked for" in worst.text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_what_is_not_finite_on_both_is_equal_and_on_one_alone_is_not(value: float) -> None:
    broken = Computing(lambda x: np.full_like(x, value))
    assert (await ask(broken, broken))[0].passed
    status, worst = await ask(broken, Computing(twice))
    assert not status.passed
    assert status.outputs[0].max_absolute_error is None
    assert status.model_dump_json()  # which JSON can carry
    assert worst is not None
    assert not worst.is_finite


@pytest.mark.parametrize("datatype", ["INT64", "BOOL", "UINT8"])
async def test_integers_are_compared_too(datatype: str) -> None:
    one, other = (
        Computing(lambda x: (x > 0).astype(np.int64), datatype),
        Computing(lambda x: (x > -9) * 1, datatype),
    )
    assert (await ask(one, one))[0].passed
    assert not (await ask(one, other))[0].passed


async def test_bf16_is_read_as_the_numbers_it_means() -> None:
    engine = Computing(lambda x: to_bf16(x * 0 + 3), "BF16")
    status, worst = await ask(Computing(lambda x: to_bf16(x * 0 + 4), "BF16"), engine)
    assert status.outputs[0].max_absolute_error == 1
    assert worst is not None
    assert "it is 4, the reference 3" in worst.text


async def test_texts_and_shapes_must_be_the_same() -> None:
    def say(word: bytes) -> Computing:
        return Computing(lambda x: np.array([b"a", word], object), "BYTES")

    assert (await ask(say(b"b"), say(b"b")))[0].passed
    _, worst = await ask(say(b"b"), say(b"c"))
    assert worst is not None
    assert "at [1] it is b'b', the reference b'c'" in worst.text
    _, worst = await ask(Computing(lambda x: x[:, :2]), Computing(twice))
    assert worst is not None
    assert "has shape [1, 2], the reference [1, 4]" in worst.text


async def test_a_target_that_fails_where_the_reference_does_not_is_a_failure() -> None:
    class Failing(Computing):
        async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
            raise InferenceError("out of registers")

    with pytest.raises(StartupError, match="fails on the target: out of registers"):
        await ask(Failing(twice), Computing(twice))
    with pytest.raises(StartupError, match=r"put real ones beside it and write parity\.samples") as caught:
        await ask(Computing(twice), Failing(twice))
    assert caught.value.reason == FailureReason.INVALID_CONFIG


# --- what is sent


def test_random_samples_are_always_the_same_and_within_what_the_model_takes() -> None:
    inputs = (
        info("UINT8", (1, 4), (1, None), (3, 3), name="picture"),
        info("INT64", (1, 1), (2, 16), name="tokens"),
        info("INT64", (1, 1), (2, 16), name="attention_mask"),
        info("INT32", (5, 5), name="count"),
        info("FP16", (100, 100), name="signal"),
        info("BOOL", (50, 50), name="flags"),
        info("BYTES", (2, 2), name="text"),
        info("BF16", (2, 2), name="brain"),
        info("FP32", name="scalar"),
    )
    limits = [None, 7, None, None, None, None, None, None, None]
    one, other = (list(make_random(inputs, limits, 2, 32)) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
    picture, tokens, mask, count, signal, flags, text, brain, scalar = one[0]
    assert picture.shape == (1, 32, 3)
    assert picture.dtype == np.uint8
    assert picture.max() > 200
    assert tokens.shape == mask.shape == (1, 16)
    assert set(tokens.ravel()) <= set(range(7))
    assert set(mask.ravel()) == {1}
    assert count.max() < 10
    assert abs(float(signal.astype(np.float32).mean())) < 0.5
    assert set(flags.tolist()) == {False, True}
    assert all(isinstance(element, bytes) for element in text)
    assert brain.dtype == np.uint16
    assert scalar.shape == ()
    assert not np.array_equal(one[0][0], one[1][0])


def write_embedding(path: Path) -> Path:
    """y = table[tokens] + table[types], of 11 and of 2 rows."""
    tokens, types = (
        ops.parameter([-1, -1], ov.Type.i64, name="tokens"),
        ops.parameter([-1, -1], ov.Type.i64, name="types"),
    )
    words = ops.gather(np.ones((11, 4), np.float32), ops.convert(tokens, "i32"), np.int64(0))
    kinds = ops.gather(np.ones((2, 4), np.float32), types, np.int64(0))
    return save_model(path, [ops.add(words, kinds)], [tokens, types])


def test_indices_stay_within_the_tables_that_they_are_looked_up_in(tmp_path: Path) -> None:
    model = ov.Core().read_model(write_embedding(tmp_path / "m.xml"))
    assert find_index_limits(model) == [11, 2]
    assert find_index_limits(ov.Core().read_model(write_adder(tmp_path / "a.xml", element_type="i64"))) == [
        None
    ]


async def test_a_language_models_inputs_are_taken_by_both(tmp_path: Path) -> None:
    path = write_embedding(tmp_path / "m.xml")
    config = make_config(path)
    reference = Reference(prepare_model(ov.Core(), path, config))
    status, _ = await compare(
        make_pool(compile_file(path, hints=F32)),
        reference.open(),
        Parity(random=4),
        tmp_path,
        reference.limits,
    )
    assert (status.passed, status.samples) == (True, 4)


async def test_a_picture_models_free_sizes_are_found(tmp_path: Path) -> None:
    """A pool of 40 x 40 refuses pictures of 32 x 32, and takes 64 x 64."""
    x = ops.parameter([-1, 3, -1, -1], ov.Type.f32, name="x")
    pooled = ops.avg_pool(x, [40, 40], [0, 0], [0, 0], [40, 40], True)
    path = save_model(tmp_path / "m.xml", [pooled], [x])
    reference = Reference(prepare_model(ov.Core(), path, make_config(path)))
    target = make_pool(compile_file(path, hints=F32))
    status, _ = await compare(target, reference.open(), Parity(random=1), tmp_path, reference.limits)
    assert status.passed


# --- the user's own samples

INPUTS = (info("FP32", (1, 1), (4, 4), name="x"),)


def test_samples_of_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in (2, 1):
        np.savez(tmp_path / f"data/{number}.npz", x=np.full((1, 4), number, np.float64))
    found = [sample[0] for sample in load_samples(tmp_path, "data", INPUTS)]
    assert [float(x[0, 0]) for x in found] == [1, 2]
    assert {x.dtype for x in found} == {np.dtype(np.float32)}
    assert len(list(load_samples(tmp_path, "data/2.npz", INPUTS))) == 1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ["has no array 'x'"]),
        ({"x": np.zeros((1, 4), np.float32), "z": np.zeros(1)}, ["for no input of the model: 'z'", "are x"]),
        ({"x": np.zeros((1, 5), np.float32)}, ["array 'x' has shape [1, 5]", "takes [1, 4]"]),
        ({"x": np.zeros((1, 4), np.complex64)}, ["array 'x' is of type complex64", "FP32"]),
        ({"x": np.zeros((1, 4), object)}, ["is no .npz file"]),
    ],
)
def test_a_sample_that_does_not_fit_is_named(
    tmp_path: Path, arrays: dict[str, Any], words: list[str]
) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(StartupError) as caught:
        list(load_samples(tmp_path, "s.npz", INPUTS))
    assert caught.value.reason == FailureReason.INVALID_CONFIG
    for word in ["spec.parity.samples: s.npz", *words]:
        assert word in str(caught.value)


def test_numbers_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.array([300]))
    with pytest.raises(StartupError, match="int64, and the model takes UINT8"):
        list(load_samples(tmp_path, "s.npz", [info("UINT8", (1, 1))]))
    np.savez(tmp_path / "t.npz", x=np.array(["é"]))
    ((text,),) = load_samples(tmp_path, "t.npz", [info("BYTES", (1, 1))])
    assert text.tolist() == ["é".encode()]


@pytest.mark.parametrize("written", ["nowhere.npz", "empty", "link", "../outside.npz"])
def test_samples_are_found_beside_the_model_and_nowhere_else(tmp_path: Path, written: str) -> None:
    folder = tmp_path / "model"
    (folder / "empty").mkdir(parents=True)
    np.savez(tmp_path / "outside.npz", x=np.zeros((1, 4), np.float32))
    (folder / "link").symlink_to(tmp_path / "outside.npz")
    with pytest.raises(StartupError, match=r"spec\.parity\.samples: ") as caught:
        list(load_samples(folder, written, INPUTS))
    assert caught.value.reason == FailureReason.INVALID_CONFIG


# --- what to do about it


def advice(tmp_path: Path, devices: Sequence[str], excess: float = 2.0, **fields: Any) -> str:
    path = write_classifier(tmp_path / "m.xml")
    worst = Worst("y", 1, excess, "at [0] it is 1, the reference 2; 0.01 + 0.01 of the reference is allowed")
    config = make_config(path, **fields)
    return explain_mismatch(worst, config, ov.Core().read_model(path), devices)


def test_a_mismatch_names_what_usually_mends_it_and_is_not_set_yet(tmp_path: Path) -> None:
    text = advice(tmp_path, ["GPU.0"])
    for word in ("output 'y' of sample 1 on GPU.0", "at [0] it is 1", "hints.inferencePrecision: f32",
                 "hints.executionMode: ACCURACY", "properties.GPU.GPU_DISABLE_WINOGRAD_CONVOLUTION: true"):  # fmt: skip
        assert word in text
    assert "ACTIVATIONS_SCALE_FACTOR" in advice(tmp_path, ["GPU.0"], float("inf"))
    assert "GPU_DISABLE_WINOGRAD" not in advice(tmp_path, ["CPU"])
    assert "inferencePrecision" not in advice(tmp_path, ["NPU"])
    every: dict[str, Any] = {"hints": F32, "properties": {"GPU": {"GPU_DISABLE_WINOGRAD_CONVOLUTION": True}}}
    assert "every setting for exactness is made already" in advice(tmp_path, ["GPU.0"], **every)


async def test_the_reference_computes_in_f32_and_takes_what_the_target_takes(tmp_path: Path) -> None:
    path = write_identity(tmp_path / "m.xml", [2, 2])
    reference = Reference(prepare_model(ov.Core(), path, make_config(path))).open()
    target = make_pool(compile_file(path))
    assert (reference.inputs, reference.outputs) == (target.inputs, target.outputs)
    x = np.array([[1.000001, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal((await reference.infer([x]))[0], x)
