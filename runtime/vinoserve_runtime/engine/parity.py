"""The same inputs through the target and through the CPU in f32, before anybody is served (`spec.parity`)."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import RuntimeConfig
from vinoserve_api.v1alpha1 import OutputParity, Parity, ParityStatus, Tolerance
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.planes import check_planes, cut_planes
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.ports import make_tensor_infos
from vinoserve_runtime.engine.samples import FREE_SIZES, find_index_limits, load_samples, make_random
from vinoserve_runtime.errors import InferenceError, StartupError
from vinoserve_runtime.model.planes import Planes
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.ov import ov
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.tensors import Array, Engine

#: Nothing that trades exactness for speed.
_EXACT: Final = {
    "INFERENCE_PRECISION_HINT": "f32",
    "EXECUTION_MODE_HINT": "ACCURACY",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    "CACHE_DIR": "",
}


class Reference:
    """The graph on the CPU in f32. Takes its memory until `close`."""

    def __init__(self, prepared: PreparedModel) -> None:
        """Blocks while OpenVINO compiles. A core of its own: no cache, no properties of the served one."""
        self._prepared = prepared
        self._compiled = ov.Core().compile_model(prepared.model, "CPU", _EXACT)
        self.limits = find_index_limits(prepared.model)

    def open(self) -> Engine:
        """On the event loop that asks it."""
        return InferRequestPool(
            self._compiled,
            make_tensor_infos(self._compiled.inputs, self._prepared.input_names),
            make_tensor_infos(self._compiled.outputs, self._prepared.output_names),
            1,
            on_cpu=True,
            faults=Faults(),
        )


async def compare(
    engine: Engine,
    reference: Engine,
    parity: Parity,
    folder: Path,
    limits: Sequence[int | None],
    *,
    planes: Sequence[Planes] = (),
) -> tuple[ParityStatus, "Worst | None"]:
    """The figures and, where they don't pass, the worst of it.

    `folder`: the model's, where samples are looked for. `limits`: see `find_index_limits`. `planes`: the inputs that together are
    pictures, of which random ones are made to fit.

    Raises StartupError InvalidConfig where there are no samples that the model takes, InferenceFailed where only the target
    fails.
    """
    outputs = [_Output(tensor.name, parity.tolerance) for tensor in engine.outputs]
    count = 0
    async for sample, expected in _ask_reference(engine, reference, parity, folder, limits, planes=planes):
        try:
            results = await engine.infer(sample)
        except InferenceError as error:
            raise StartupError(
                FailureReason.INFERENCE_FAILED,
                f"spec.parity: sample {count} runs on the CPU and fails on the target: {error}",
            ) from error
        for output, datatype, wanted, got in zip(
            outputs, (tensor.datatype for tensor in engine.outputs), expected, results, strict=True
        ):
            output.add(count, _as_numbers(wanted, datatype), _as_numbers(got, datatype))
        count += 1
    passed = all(output.passed for output in outputs)
    status = ParityStatus(
        passed=passed,
        samples=count,
        reference=f"{parity.reference} f32",
        outputs=tuple(output.make_status() for output in outputs),
    )
    failing = [output.worst for output in outputs if not output.passed and output.worst is not None]
    return status, max(failing, key=lambda worst: worst.excess, default=None)


async def _ask_reference(
    engine: Engine,
    reference: Engine,
    parity: Parity,
    folder: Path,
    limits: Sequence[int | None],
    *,
    planes: Sequence[Planes],
) -> AsyncIterator[tuple[Sequence[Array], Sequence[Array]]]:
    """Samples, and the reference's results."""
    if parity.samples is not None:
        for number, sample in enumerate(load_samples(folder, parity.samples, engine.inputs)):
            try:
                check_planes(planes, engine.inputs, sample)
                expected = await reference.infer(sample)
            except (InferenceError, InvalidRequestError) as error:
                raise StartupError(
                    FailureReason.INVALID_CONFIG,
                    f"spec.parity.samples: the model refuses sample {number}: {error}",
                ) from error
            yield sample, expected
        return
    size = await _find_size(engine, reference, limits, planes)
    for random in make_random(engine.inputs, limits, parity.random or 1, size):
        sample = cut_planes(planes, random)
        yield sample, await reference.infer(sample)


async def _find_size(
    engine: Engine, reference: Engine, limits: Sequence[int | None], planes: Sequence[Planes]
) -> int:
    """The first size for free dimensions that the model takes."""
    why = ""
    for size in FREE_SIZES:
        (sample,) = make_random(engine.inputs, limits, 1, size)
        try:
            await reference.infer(cut_planes(planes, sample))
        except InferenceError as error:
            why = str(error)
        else:
            return size
    shapes = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in engine.inputs)
    raise StartupError(
        FailureReason.INVALID_CONFIG,
        f"spec.parity.random: the model refuses random inputs for {shapes} ({why}); put real ones beside it and write "
        "parity.samples",
    )


@dataclass(frozen=True)
class Worst:
    """The element that is furthest from what is allowed; for BYTES, shapes and cosines there is none."""

    output: str
    sample: int
    excess: float
    """How many times what is allowed; infinite where a value isn't finite."""
    text: str

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.excess))


class _Output:
    """One output over all samples."""

    def __init__(self, name: str, tolerance: Tolerance) -> None:
        self._name = name
        self._tolerance = tolerance
        self._absolute: float | None = 0.0
        self._relative: float | None = 0.0
        self._cosine: float | None = 1.0
        self.worst: Worst | None = None
        self.passed = True

    def make_status(self) -> OutputParity:
        return OutputParity(
            name=self._name,
            max_absolute_error=self._absolute,
            max_relative_error=self._relative,
            cosine=self._cosine,
            passed=self.passed,
        )

    def add(self, sample: int, wanted: Array, got: Array) -> None:
        """Numbers as float64, or BYTES as objects."""
        if wanted.shape != got.shape:
            self._fail(sample, np.inf, f"has shape {list(got.shape)}, the reference {list(wanted.shape)}")
        elif wanted.dtype.kind == "O":
            self._add_bytes(sample, wanted, got)
        elif wanted.size:
            self._add_numbers(sample, wanted, got)

    def _add_bytes(self, sample: int, wanted: Array, got: Array) -> None:
        for index in zip(*np.nonzero(wanted != got), strict=True):
            self._fail(
                sample, np.inf, f"at {_show(index)} it is {got[index]!r}, the reference {wanted[index]!r}"
            )
            return

    def _add_numbers(self, sample: int, wanted: Array, got: Array) -> None:
        same = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
        finite = np.isfinite(wanted) & np.isfinite(got)
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.where(same, 0.0, np.abs(got - wanted))
        allowed = self._tolerance.atol + self._tolerance.rtol * np.abs(np.where(finite, wanted, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(same, 0.0, np.where(finite, error / allowed, np.inf))
        index = np.unravel_index(int(np.argmax(excess)), excess.shape)
        if (finite | same).all():
            self._note_errors(error[finite], np.abs(wanted[finite]))
            cosine = _cosine(wanted[finite], got[finite])
            self._cosine = None if self._cosine is None else min(self._cosine, cosine)
        else:
            self._absolute = self._relative = self._cosine = cosine = None
        text = f"at {_show(index)} it is {got[index]:.6g}, the reference {wanted[index]:.6g}"
        if self._tolerance.cosine is not None:
            if cosine is None or cosine < self._tolerance.cosine:
                said = "not defined" if cosine is None else f"{cosine:.6f}"
                self._fail(
                    sample,
                    np.inf if cosine is None else 1 + self._tolerance.cosine - cosine,
                    f"{text}; the cosine is {said}, at least {self._tolerance.cosine:g} is asked for",
                )
        elif excess[index] > 1:
            self._fail(
                sample,
                float(excess[index]),
                f"{text}; {self._tolerance.atol:g} + {self._tolerance.rtol:g} of the reference is allowed",
            )

    def _note_errors(self, errors: Array, sizes: Array) -> None:
        if self._absolute is None or self._relative is None or not errors.size:
            return
        self._absolute = max(self._absolute, float(errors.max()))
        some = sizes > 0
        if some.any():
            with np.errstate(over="ignore"):
                self._relative = max(self._relative, min(float((errors[some] / sizes[some]).max()), 1e300))

    def _fail(self, sample: int, excess: float, text: str) -> None:
        self.passed = False
        if self.worst is None or excess > self.worst.excess:
            self.worst = Worst(self._name, sample, excess, text)


def _as_numbers(array: Array, datatype: str) -> Array:
    if datatype == "BYTES":
        return array
    if datatype == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)


def _cosine(wanted: Array, got: Array) -> float:
    """Two zero vectors are alike; one is like nothing else."""
    scale = max(float(np.abs(wanted).max(initial=0.0)), float(np.abs(got).max(initial=0.0)), 1e-300)
    one, other = wanted / scale, got / scale
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    if not lengths:
        return 1.0 if np.array_equal(wanted, got) else 0.0
    return float(np.clip(np.dot(one.ravel(), other.ravel()) / lengths, -1.0, 1.0))


def _show(index: Sequence[Any]) -> str:
    return str([int(i) for i in index])


def explain_mismatch(
    worst: Worst, config: RuntimeConfig, model: Any, execution_devices: Sequence[str]
) -> str:
    """One sentence: the output, the element, and the settings that usually mend it and aren't made yet."""
    devices = ", ".join(execution_devices)
    remedies = list(
        _find_remedies(worst, config, model, {name.strip("()")[:3] for name in execution_devices})
    )
    advice = (
        f"what usually mends it: {', or '.join(remedies)}"
        if remedies
        else "every setting for exactness is made already"
    )
    return f"output {worst.output!r} of sample {worst.sample} on {devices} is not what the CPU computes in f32: {worst.text}; {advice}"


def _find_remedies(worst: Worst, config: RuntimeConfig, model: Any, kinds: set[str]) -> Iterator[str]:
    hints, gpu, cpu = config.hints, config.properties.get("GPU", {}), config.properties.get("CPU", {})
    types = {node.get_type_name() for node in model.get_ordered_ops()}
    is_f32 = hints.inference_precision == "f32"
    if not is_f32 and kinds <= {"CPU", "GPU"}:
        yield "hints.inferencePrecision: f32"
    if hints.execution_mode != "ACCURACY" and not is_f32:
        yield "hints.executionMode: ACCURACY"
    if "GPU" in kinds:
        convolves = any("Convolution" in kind for kind in types)
        if convolves and not gpu.get("GPU_DISABLE_WINOGRAD_CONVOLUTION"):
            yield "properties.GPU.GPU_DISABLE_WINOGRAD_CONVOLUTION: true"
        if not worst.is_finite and not is_f32 and "ACTIVATIONS_SCALE_FACTOR" not in gpu:
            yield "properties.GPU.ACTIVATIONS_SCALE_FACTOR: 8 (values beyond f16's)"
    if "CPU" in kinds and "DYNAMIC_QUANTIZATION_GROUP_SIZE" not in cpu and _has_compressed_weights(model):
        yield "properties.CPU.DYNAMIC_QUANTIZATION_GROUP_SIZE: 0"


def _has_compressed_weights(model: Any) -> bool:
    return any(
        node.get_type_name() == "Constant"
        and node.output(0).get_element_type().get_type_name() in ("i4", "u4", "i8", "u8")
        and len(node.output(0).get_shape()) > 1
        for node in model.get_ordered_ops()
    )
