"""The catalogue against the OpenVINO that is installed: a new release that differs fails here, and says where."""

from collections.abc import Mapping

import pytest

from tests.api.asking import Answer, ask
from tools import fakegpu
from vinoserve_api.properties import CATALOGUE, PropertySpec, lookup

CPU_DEVICES = {
    "CPU": "CPU", "AUTO": "AUTO:CPU", "MULTI": "MULTI:CPU", "HETERO": "HETERO:CPU", "BATCH": "BATCH:CPU(4)",
}  # fmt: skip

#: Accepted by compile_model (the values below are tried), and yet not in SUPPORTED_PROPERTIES.
NOT_LISTED = {
    ("CPU", "CACHE_MODE"): "the Core takes it for every device",
    ("CPU", "ENABLE_MMAP"): "the Core takes it for every device",
    ("GPU", "ENABLE_MMAP"): "the Core takes it for every device",
    ("GPU", "ALLOW_AUTO_BATCHING"): "the Core takes it for every device",
    ("AUTO", "ALLOW_AUTO_BATCHING"): "the Core takes it for every device",
    ("MULTI", "ALLOW_AUTO_BATCHING"): "the Core takes it for every device",
    ("GPU", "GPU_ENABLE_KERNELS_REUSE"): "public in intel_gpu/properties.hpp",
    ("GPU", "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX"): "public in intel_gpu/properties.hpp",
}
#: Not tried, each with its reason.
UNTRIED = {
    ("GPU", "GPU_ENABLE_LARGE_ALLOCATIONS"): "the emulated GPU has no such memory",
    ("GPU", "WEIGHTS_PATH"): "needs weights",
    ("GPU", "CONFIG_FILE"): "needs a configuration of custom layers",
}


def samples(spec: PropertySpec) -> list[object]:
    """Values at the edges of what the catalogue allows; not the largest, which would start that many threads."""
    match spec.type:
        case "bool":
            return [False, True]
        case "enum":
            return list(spec.values)
        case "streams":
            return [1, 2, *spec.values]
        case "int":
            return [
                int(spec.minimum or 0),
                int(spec.minimum or 0) + 1,
                *([100] if spec.maximum == 100 else []),
            ]
        case "float":
            return [spec.minimum, 1, 0.5]
        case "utilization":
            return [{"CPU": 0, "GPU.1": 100}]
        case "curves":
            return [{"CPU": {"0": 1, "100": 2.5}, "iGPU": {"50": 1}}]
        case "device":
            return ["CPU", "GPU.1"]
        case _:
            return ["/weights.bin"]


def settable(block: str) -> list[PropertySpec]:
    return [spec for spec in CATALOGUE if block in spec.blocks and spec.settable]


def ask_about(devices: Mapping[str, str], environment: Mapping[str, str]) -> Answer:
    tries = [
        (device, spec.key, value)
        for block, device in devices.items()
        for spec in settable(block)
        for value in samples(spec)
        if (block, spec.key) not in UNTRIED
    ]
    # cores that are reserved are gone for the rest of the process
    tries.sort(key=lambda one: one[1] == "ENABLE_CPU_RESERVATION")
    return ask(list(devices), tries, environment=environment)


@pytest.fixture(scope="module")
def cpu() -> Answer:
    return ask_about(CPU_DEVICES, {})


@pytest.fixture(scope="module")
def gpu() -> Answer:
    return ask_about({"GPU": "GPU"}, fakegpu.environment())


def differences(block: str, supported: dict[str, str]) -> list[str]:
    found = []
    for key, mutability in supported.items():
        spec = lookup(block, key)
        if spec is None:
            found.append(f"{block} has {key} ({mutability}), the catalogue doesn't")
        elif spec.managed_by is None and spec.read_only != (mutability == "RO"):
            found.append(f"{block} says that {key} is {mutability}")
    for spec in settable(block):
        listed, excused = spec.key in supported, (block, spec.key) in NOT_LISTED
        if not listed and not excused:
            found.append(f"{block} has no {spec.key} any more")
        if listed and excused:
            found.append(f"{block} lists {spec.key} now: no need to excuse it")
    return found


@pytest.mark.parametrize("block", CPU_DEVICES)
def test_catalogue_is_what_openvino_supports(cpu: Answer, block: str) -> None:
    assert differences(block, cpu.supported[block]) == []


def test_what_the_catalogue_allows_compiles(cpu: Answer) -> None:
    assert cpu.refused == []


def test_all_that_the_npu_plugin_lists_is_known() -> None:
    """Without a driver it lists only a part, so nothing can be said the other way round."""
    supported = ask(["NPU"]).supported["NPU"]
    assert [difference for difference in differences("NPU", supported) if " any more" not in difference] == []


@pytest.mark.gpu_emulated
def test_catalogue_is_what_the_gpu_plugin_supports(gpu: Answer) -> None:
    assert differences("GPU", gpu.supported["GPU"]) == []


@pytest.mark.gpu_emulated
def test_what_the_catalogue_allows_compiles_on_the_gpu(gpu: Answer) -> None:
    assert gpu.refused == []
