"""The property catalogue: what is refused, and what is said then."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinoserve_api.properties import (
    BLOCKS,
    CATALOGUE,
    PropertySpec,
    check_beside_hints,
    check_property,
    check_unchecked,
    devices_with,
    json_schema,
    lookup,
    to_openvino,
)


@pytest.mark.parametrize(
    ("block", "key", "value"),
    [
        ("CPU", "INFERENCE_NUM_THREADS", 4),
        ("CPU", "NUM_STREAMS", "NUMA"),
        ("CPU", "NUM_STREAMS", 4),
        ("CPU", "KEY_CACHE_PRECISION", "u8"),
        ("CPU", "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE", 1),
        ("GPU", "GPU_QUEUE_THROTTLE", "LOW"),
        ("GPU", "GPU_DISABLE_WINOGRAD_CONVOLUTION", True),
        ("GPU", "CONFIG_FILE", "/models/layers.xml"),
        ("GPU", "OFFLOAD_RATIO", 100),
        ("NPU", "NPU_COMPILATION_MODE_PARAMS", "optimization-level=2 performance-hint-override=latency"),
        ("AUTO", "DEVICES_UTILIZATION_THRESHOLD", {"GPU.1": 80, "CPU": 0}),
        ("AUTO", "PERF_CURVE_TABLE", {"NPU": {"0": 1, "100": 3.5}}),
        ("AUTO", "LOW_POWER_DEVICE", "NPU"),
        ("MULTI", "SCHEDULE_POLICY", "ROUND_ROBIN"),
        ("HETERO", "MODEL_DISTRIBUTION_POLICY", "PIPELINE_PARALLEL"),
        ("BATCH", "AUTO_BATCH_TIMEOUT", 200),
    ],
)
def test_accepted(block: str, key: str, value: object) -> None:
    assert check_property(block, key, value) is None


@pytest.mark.parametrize(
    ("block", "key", "value", "message"),
    [
        ("GPU", "PERFORMANCE_HINTT", "LATENCY", "unknown property; did you mean PERFORMANCE_HINT?"),
        ("GPU", "QUEUE_THROTTLE", "LOW", "unknown property; did you mean GPU_QUEUE_THROTTLE?"),
        ("GPU", "performance_hint", "LATENCY", "unknown property; write PERFORMANCE_HINT"),
        ("GPU", "BRAND_NEW", "1", "unknown property of GPU; for an OpenVINO newer than this vinoserve write it under spec.uncheckedProperties"),
        ("CPU", "GPU_QUEUE_THROTTLE", "LOW", "not a property of CPU, but of GPU; write it under spec.properties.GPU"),
        ("CPU", "MODEL_PRIORITY", "LOW", "not a property of CPU, but of GPU, NPU, AUTO"),
        ("MULTI", "ENABLE_STARTUP_FALLBACK", True, "not a property of MULTI, but of AUTO; write it under spec.properties.AUTO"),
        ("GPU", "EXECUTION_DEVICES", "GPU", "read-only: OpenVINO reports it and nothing sets it; delete it"),
        ("CPU", "GPU_MEMORY_STATISTICS", {}, "read-only: OpenVINO reports it and nothing sets it; delete it"),
        ("CPU", "CACHE_DIR", "/cache", "set by vinoserve; write spec.cache.compiled"),
        ("GPU", "DEVICE_ID", "1", "set by vinoserve; write spec.targetDevice"),
        ("AUTO", "MULTI_DEVICE_PRIORITIES", "GPU", "set by vinoserve; write spec.targetDevice"),
        ("AUTO", "DEVICE_PROPERTIES", {}, "set by vinoserve; write spec.properties (a block for each device)"),
        ("GPU", "GPU_QUEUE_THROTTLE", "low", "must be LOW, MEDIUM or HIGH, not 'low'; did you mean LOW?"),
        ("GPU", "GPU_QUEUE_THROTTLE", 1, "must be LOW, MEDIUM or HIGH, not 1; did you mean LOW?"),
        ("GPU", "INFERENCE_PRECISION_HINT", "FP16", "must be f32, f16 or dynamic, not 'FP16'; did you mean f16?"),
        ("GPU", "NUM_STREAMS", "NUMA", "must be AUTO or a whole number from 1 to 1024, not 'NUMA'"),
        ("CPU", "NUM_STREAMS", -1, "must be AUTO, NUMA or a whole number from 1 to 1024, not -1; write AUTO"),
        ("CPU", "NUM_STREAMS", "4", "must be AUTO, NUMA or a whole number from 1 to 1024, not '4'; write the number without quotes"),
        ("CPU", "NUM_STREAMS", True, "must be AUTO, NUMA or a whole number from 1 to 1024, not True"),
        ("CPU", "NUM_STREAMS", "CPU_THROUGHPUT_AUTO", "must be AUTO, NUMA or a whole number from 1 to 1024, not 'CPU_THROUGHPUT_AUTO'; did you mean AUTO?"),
        ("CPU", "INFERENCE_NUM_THREADS", "4", "must be a whole number from 0 to 1024, not '4'; write the number without quotes"),
        ("CPU", "INFERENCE_NUM_THREADS", 1.5, "must be a whole number from 0 to 1024, not 1.5"),
        ("CPU", "PERF_COUNT", "YES", "must be true or false, not 'YES'; write true"),
        ("CPU", "PERF_COUNT", 0, "must be true or false, not 0; write false"),
        ("CPU", "LOG_LEVEL", "ERROR", "must be LOG_NONE, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG or LOG_TRACE, not 'ERROR'; did you mean LOG_ERROR?"),
        ("CPU", "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE", 2, "must be a number from 0 to 1, not 2"),
        ("GPU", "ACTIVATIONS_SCALE_FACTOR", math.nan, "must be a number of at least -1, not nan"),
        ("CPU", "MODEL_DISTRIBUTION_POLICY", "PIPELINE_PARALLEL", "must be TENSOR_PARALLEL, not 'PIPELINE_PARALLEL'"),
        ("GPU", "CONFIG_FILE", "", "must be a text, not ''"),
        ("GPU", "CONFIG_FILE", "a\0b", "must have no control characters in it"),
        ("GPU", "CONFIG_FILE", "x" * 5000, "must have at most 4096 characters, not 5000"),
        ("AUTO", "LOW_POWER_DEVICE", "gpu", "must be a device, such as CPU, GPU.1 or NPU, not 'gpu'"),
        ("AUTO", "DEVICES_UTILIZATION_THRESHOLD", {"GPU": 101}, "must map devices to busy percentages, such as {GPU: 80}; GPU: a whole number from 0 to 100, not 101"),
        ("BATCH", "AUTO_BATCH_TIMEOUT", -1, "must be a whole number from 0 to 3600000, not -1"),
    ],
)  # fmt: skip
def test_refused(block: str, key: str, value: object, message: str) -> None:
    assert check_property(block, key, value) == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("KEY_PERF_COUNT", "YES", "legacy name; write PERF_COUNT"),
        ("KEY_CACHE_DIR", "/cache", "legacy name; set by vinoserve; write spec.cache.compiled"),
        ("KEY_GPU_THROUGHPUT_STREAMS", "KEY_GPU_THROUGHPUT_AUTO", "write NUM_STREAMS: AUTO"),
        ("CPU_THROUGHPUT_STREAMS", "4", "write NUM_STREAMS: 4"),
        ("CPU_THROUGHPUT_STREAMS", "CPU_THROUGHPUT_NUMA", "write NUM_STREAMS: NUMA"),
        ("KEY_CLDNN_PLUGIN_THROTTLE", "1", "legacy name of GPU_QUEUE_THROTTLE; write GPU_QUEUE_THROTTLE: LOW"),
        ("GPU_PLUGIN_THROTTLE", 3, "legacy name of GPU_QUEUE_THROTTLE; write GPU_QUEUE_THROTTLE: HIGH"),
        ("GPU_PLUGIN_PRIORITY", 2, "legacy name of GPU_QUEUE_PRIORITY; write GPU_QUEUE_PRIORITY: MEDIUM"),
        ("CLDNN_PLUGIN_PRIORITY", "0", "0 turned it off: delete it"),
        ("CLDNN_PLUGIN_PRIORITY", "9", "write GPU_QUEUE_PRIORITY: LOW, MEDIUM or HIGH"),
        ("GPU_MODEL_PRIORITY", "GPU_MODEL_PRIORITY_HIGH", "legacy name; write MODEL_PRIORITY: HIGH"),
        ("GPU_MODEL_PRIORITY", "GPU_QUEUE_PRIORITY_LOW|GPU_HOST_TASK_PRIORITY_ANY", "write GPU_QUEUE_PRIORITY: LOW, GPU_HOST_TASK_PRIORITY: MEDIUM"),
        ("GPU_MAX_NUM_THREADS", 4, "write COMPILATION_NUM_THREADS: 4"),
        ("ENFORCE_BF16", "YES", "write spec.hints.inferencePrecision: bf16"),
        ("CPU_BIND_THREAD", "NO", "write ENABLE_CPU_PINNING: false"),
        ("AFFINITY", "CORE", "write ENABLE_CPU_PINNING: true"),
        ("DYN_BATCH_ENABLED", "YES", "give the input a bounded batch"),
        ("GPU_NV12_TWO_INPUTS", "YES", "say what clients send in spec.model.inputs[].client"),
        ("EXCLUSIVE_ASYNC_REQUESTS", "YES", "internal to OpenVINO"),
        ("CLDNN_ENABLE_FP16_FOR_QUANTIZED_MODELS", "YES", "nothing replaces it; delete it"),
        ("KEY_TUNING_FILE", "x", "nothing replaces it; delete it"),
        ("KEY_DUMP_KERNELS", "YES", "nothing replaces it; delete it"),
        ("MYRIAD_ENABLE_HW_ACCELERATION", "YES", "removed from OpenVINO with its device"),
    ],
)  # fmt: skip
def test_legacy_names_are_refused_with_todays(key: str, value: object, message: str) -> None:
    assert message in (check_property("GPU", key, value) or "")


def test_every_legacy_name_is_refused_with_and_without_its_prefix() -> None:
    for name in ("CPU_THREADS_NUM", "GPU_MODEL_PRIORITY", "TUNING_MODE"):
        assert check_property("GPU", name, "1") == check_property("GPU", f"KEY_{name}", "1")


def test_unchecked_properties_are_for_unknown_keys_alone() -> None:
    assert check_unchecked("GPU", "SOME_NEW_KEY") is None
    assert check_unchecked("GPU", "INFERENCE_NUM_THREADS") is None, "a newer GPU plugin may have learned it"
    assert (
        check_unchecked("GPU", "NUM_STREAMS")
        == "a known property; write NUM_STREAMS under spec.properties.GPU"
    )
    assert check_unchecked("GPU", "CACHE_DIR") == "set by vinoserve; write spec.cache.compiled"
    assert check_unchecked("GPU", "KEY_DEVICE_ID") == "set by vinoserve; write spec.targetDevice"
    assert "read-only" in (check_unchecked("CPU", "EXECUTION_DEVICES") or "")
    assert "legacy name of GPU_QUEUE_PRIORITY" in (check_unchecked("GPU", "GPU_PLUGIN_PRIORITY") or "")


@pytest.mark.parametrize(
    ("key", "hints", "field"),
    [
        ("PERFORMANCE_HINT", {"performanceMode"}, "performanceMode"),
        ("NUM_STREAMS", {"performanceMode"}, "performanceMode"),
        ("NUM_STREAMS", {"numStreams"}, "numStreams"),
        ("PERFORMANCE_HINT", {"numStreams"}, "numStreams"),
        ("PERFORMANCE_HINT_NUM_REQUESTS", {"numRequests"}, "numRequests"),
        ("EXECUTION_MODE_HINT", {"executionMode"}, "executionMode"),
        ("INFERENCE_PRECISION_HINT", {"inferencePrecision"}, "inferencePrecision"),
        ("MODEL_PRIORITY", {"modelPriority"}, "modelPriority"),
        ("NUM_STREAMS", {"numRequests"}, None),
        ("INFERENCE_NUM_THREADS", {"performanceMode", "numStreams"}, None),
        ("BRAND_NEW", {"performanceMode"}, None),
    ],
)
def test_what_a_hint_says_is_not_said_twice(key: str, hints: set[str], field: str | None) -> None:
    said = check_beside_hints(key, hints)
    assert said == (f"spec.hints.{field} says it already; remove one of them" if field else None)


def test_where_a_property_can_be_set() -> None:
    assert devices_with("MODEL_PRIORITY") == ("GPU", "NPU", "AUTO")
    assert devices_with("CACHE_DIR") == ()


def test_values_as_compile_model_takes_them() -> None:
    assert to_openvino("NUM_STREAMS", 4) == "4"
    assert to_openvino("NUM_STREAMS", "AUTO") == "AUTO"
    assert isinstance(to_openvino("ACTIVATIONS_SCALE_FACTOR", 8), float)
    assert to_openvino("PERF_CURVE_TABLE", {"CPU": {"50": 1}}) == {"CPU": {50: 1.0}}
    assert to_openvino("PERF_COUNT", True) is True
    assert to_openvino("SOME_NEW_KEY", "1") == "1"


def test_a_key_is_one_thing_on_a_device() -> None:
    pairs = [(block, spec.key) for spec in CATALOGUE for block in spec.blocks]
    assert len(pairs) == len(set(pairs))
    kinds = {(spec.key, spec.type) for spec in CATALOGUE}
    assert len(kinds) == len({spec.key for spec in CATALOGUE})


@pytest.mark.parametrize("block", BLOCKS)
def test_schema_has_what_can_be_set_and_nothing_else(block: str) -> None:
    schema = json_schema(block)
    keys = list(schema["properties"])
    assert keys == sorted(keys)
    assert set(keys) == {spec.key for spec in CATALOGUE if block in spec.blocks and spec.settable}
    assert json.dumps(schema) == json.dumps(json_schema(block))
    for key, value in schema["properties"].items():
        assert value["description"].endswith("."), key
        assert ("type" in value) != value.get("x-kubernetes-int-or-string", False), key


def accepts(schema: dict[str, object], value: object) -> bool:
    """The API server's view of a scalar; JSON knows no difference between 4 and 4.0."""
    kind = schema.get("type")
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        allowed = schema.get("enum")
        return isinstance(value, str) and (allowed is None or value in allowed)  # type: ignore[operator]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return (kind == "number" or isinstance(value, int)) and schema["minimum"] <= value <= schema["maximum"]  # type: ignore[operator]


scalars = st.one_of(
    st.booleans(),
    st.integers(-3, 70000),
    st.floats(-2, 2),
    st.sampled_from(sorted({value for spec in CATALOGUE for value in spec.values})),
)


@given(
    st.sampled_from([s for s in CATALOGUE if s.settable and s.type in ("bool", "enum", "int", "float")]),
    scalars,
)
def test_the_schema_and_the_check_agree(spec: PropertySpec, value: object) -> None:
    for block in spec.blocks - {"MULTI"}:
        schema = json_schema(block)["properties"][spec.key]
        assert (check_property(block, spec.key, value) is None) == accepts(schema, value)


@given(
    st.sampled_from([*BLOCKS, "MULTI"]),
    st.text(max_size=30),
    st.none() | st.text(max_size=10) | st.integers(),
)
def test_any_key_gets_an_answer(block: str, key: str, value: object) -> None:
    said = check_property(block, key, value)
    assert said is not None or lookup(block, key) is not None
