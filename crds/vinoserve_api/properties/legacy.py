"""Property names and values of older releases (Inference Engine's KEY_*), and what to write today.

From the documents of the 2021 and 2022 plugins; the old names are refused by OpenVINO 2026.4.1 (measured), with a message
that doesn't say what replaced them.
"""

import re
from collections.abc import Callable
from typing import Final

_LEVELS: Final = {"0": "", "1": "LOW", "2": "MEDIUM", "3": "HIGH"}
_SWITCHES: Final = {"YES": "true", "NO": "false"}


def explain_legacy(key: str, value: object) -> str | None:
    """What to write instead of an old property, or None where `key` isn't one. `key` may begin with KEY_."""
    name = key.removeprefix("KEY_")
    told = _SUCCESSORS.get(name)
    if told is not None:
        return told(_plain(value))
    if re.match(r"(VPU|MYRIAD|HDDL|GNA)_", name):
        return "removed from OpenVINO with its device; delete it"
    return None


def _plain(value: object) -> str:
    """The old value without the prefixes that its constants had."""
    text = ("YES" if value else "NO") if isinstance(value, bool) else str(value)
    return text.upper().removeprefix("KEY_")


def _levels(modern: str) -> Callable[[str], str]:
    def tell(value: str) -> str:
        if value not in _LEVELS:
            return f"legacy name of {modern}; write {modern}: LOW, MEDIUM or HIGH"
        if not _LEVELS[value]:
            return f"legacy name of {modern}, and 0 turned it off: delete it"
        return f"legacy name of {modern}; write {modern}: {_LEVELS[value]}"

    return tell


def _streams(value: str) -> str:
    keyword = next((k for k in ("AUTO", "NUMA") if value.endswith(f"_{k}") or value == k), value)
    return f"legacy name of NUM_STREAMS; write NUM_STREAMS: {keyword}, or spec.hints.numStreams"


def _model_priority(value: str) -> str:
    wanted = {
        modern: level
        for part in value.split("|")
        for modern in ("MODEL_PRIORITY", "GPU_QUEUE_PRIORITY", "GPU_HOST_TASK_PRIORITY")
        for level in _levels_of(part, modern)
    }
    if not wanted:
        wanted = {"MODEL_PRIORITY": "LOW, MEDIUM or HIGH"}
    return "legacy name; write " + ", ".join(f"{k}: {v}" for k, v in wanted.items())


def _levels_of(part: str, modern: str) -> list[str]:
    prefix = "GPU_MODEL_PRIORITY" if modern == "MODEL_PRIORITY" else modern
    match = re.fullmatch(rf"{prefix}_(LOW|MED|HIGH|ANY|DEFAULT|DISABLED)", part.strip())
    if match is None:
        return []
    return [match[1] if match[1] in ("LOW", "HIGH") else "MEDIUM"]


def _same(modern: str, *, switch: bool = False) -> Callable[[str], str]:
    def tell(value: str) -> str:
        shown = _SWITCHES.get(value, value) if switch else value
        return f"legacy name of {modern}; write {modern}: {shown}"

    return tell


def _pinning(value: str) -> str:
    shown = "false" if value in ("NO", "NONE") else "true"
    return f"legacy name of ENABLE_CPU_PINNING; write ENABLE_CPU_PINNING: {shown}"


def _enforce_bf16(value: str) -> str:
    precision = "f32" if value == "NO" else "bf16"
    return f"legacy name of INFERENCE_PRECISION_HINT; write spec.hints.inferencePrecision: {precision}"


def _says(text: str) -> Callable[[str], str]:
    return lambda _value: text


_REMOVED: Final = _says("removed from OpenVINO, and nothing replaces it; delete it")
_BOUNDED: Final = _says(
    'removed from OpenVINO; give the input a bounded batch instead: spec.model.inputs[].shape: ["1..8", 3, 224, 224]'
)
_TARGET: Final = _says("set by vinoserve; write spec.targetDevice")

_SUCCESSORS: Final[dict[str, Callable[[str], str]]] = {
    "GPU_THROUGHPUT_STREAMS": _streams,
    "GPU_THROUGHPUT_AUTO": _says("legacy name of NUM_STREAMS; write NUM_STREAMS: AUTO"),
    "CLDNN_THROUGHPUT_STREAMS": _streams,
    "CPU_THROUGHPUT_STREAMS": _streams,
    "CPU_THROUGHPUT_AUTO": _says("legacy name of NUM_STREAMS; write NUM_STREAMS: AUTO"),
    "CPU_THROUGHPUT_NUMA": _says("legacy name of NUM_STREAMS; write NUM_STREAMS: NUMA"),
    "CPU_THREADS_NUM": _same("INFERENCE_NUM_THREADS"),
    "CPU_BIND_THREAD": _pinning,
    "AFFINITY": _pinning,
    "ENFORCE_BF16": _enforce_bf16,
    "DYN_BATCH_ENABLED": _BOUNDED,
    "DYN_BATCH_LIMIT": _BOUNDED,
    "CLDNN_PLUGIN_PRIORITY": _levels("GPU_QUEUE_PRIORITY"),
    "GPU_PLUGIN_PRIORITY": _levels("GPU_QUEUE_PRIORITY"),
    "CLDNN_PLUGIN_THROTTLE": _levels("GPU_QUEUE_THROTTLE"),
    "GPU_PLUGIN_THROTTLE": _levels("GPU_QUEUE_THROTTLE"),
    "GPU_MODEL_PRIORITY": _model_priority,
    "GPU_MAX_NUM_THREADS": _same("COMPILATION_NUM_THREADS"),
    "GPU_NV12_TWO_INPUTS": _says(
        "removed from OpenVINO; say what clients send in spec.model.inputs[].client"
    ),
    "CLDNN_NV12_TWO_INPUTS": _says(
        "removed from OpenVINO; say what clients send in spec.model.inputs[].client"
    ),
    "CLDNN_ENABLE_LOOP_UNROLLING": _same("GPU_ENABLE_LOOP_UNROLLING", switch=True),
    "EXCLUSIVE_ASYNC_REQUESTS": _says("internal to OpenVINO; delete it, or write spec.hints.numStreams: 1"),
    "CLDNN_ENABLE_FP16_FOR_QUANTIZED_MODELS": _REMOVED,
    "CLDNN_GRAPH_DUMPS_DIR": _REMOVED,
    "CLDNN_SOURCES_DUMPS_DIR": _REMOVED,
    "CLDNN_MEM_POOL": _REMOVED,
    "DUMP_KERNELS": _REMOVED,
    "TUNING_MODE": _REMOVED,
    "TUNING_FILE": _REMOVED,
    "HETERO_DUMP_GRAPH_DOT": _REMOVED,
    "TARGET_FALLBACK": _TARGET,
    "AUTO_DEVICE_LIST": _TARGET,
    "AUTO_NETWORK_PRIORITY": _says("legacy name of MODEL_PRIORITY; write spec.hints.modelPriority"),
    "ENABLE_PROFILING": _same("PERF_COUNT", switch=True),
}

#: Old spellings of values that many properties share.
VALUES: Final = {
    "FP32": "f32", "FP16": "f16", "BF16": "bf16", "INT8": "i8", "UINT8": "u8", "UNDEFINED": "dynamic",
    "PERFORMANCE_HINT_LATENCY": "LATENCY", "PERFORMANCE_HINT_THROUGHPUT": "THROUGHPUT", "MED": "MEDIUM", "NORMAL": "MEDIUM",
    "ANY": "MEDIUM", "1": "LOW", "2": "MEDIUM", "3": "HIGH",
}  # fmt: skip
