"""What older documents of OpenVINO say to write, and what can't be: refused by `vinoserve validate`, with what to write today."""

from pathlib import Path

import pytest
import yaml

from vinoserve_cli.__main__ import main


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"properties": {"GPU": {"KEY_GPU_THROUGHPUT_STREAMS": 2}}}, "NUM_STREAMS: 2"),
        ({"properties": {"GPU": {"GPU_THROUGHPUT_STREAMS": "GPU_THROUGHPUT_AUTO"}}}, "NUM_STREAMS: AUTO"),
        ({"properties": {"GPU": {"KEY_GPU_PLUGIN_PRIORITY": 3}}}, "GPU_QUEUE_PRIORITY: HIGH"),
        ({"properties": {"GPU": {"KEY_CLDNN_PLUGIN_PRIORITY": 1}}}, "GPU_QUEUE_PRIORITY: LOW"),
        ({"properties": {"GPU": {"KEY_GPU_PLUGIN_THROTTLE": 1}}}, "GPU_QUEUE_THROTTLE: LOW"),
        ({"properties": {"GPU": {"KEY_CLDNN_PLUGIN_THROTTLE": 2}}}, "GPU_QUEUE_THROTTLE: MEDIUM"),
        (
            {
                "properties": {
                    "GPU": {"KEY_GPU_MODEL_PRIORITY": "GPU_QUEUE_PRIORITY_HIGH|GPU_HOST_TASK_PRIORITY_HIGH"}
                }
            },
            "GPU_QUEUE_PRIORITY: HIGH, GPU_HOST_TASK_PRIORITY: HIGH",
        ),
        (
            {"properties": {"GPU": {"KEY_GPU_MODEL_PRIORITY": "GPU_MODEL_PRIORITY_LOW"}}},
            "MODEL_PRIORITY: LOW",
        ),
        ({"properties": {"GPU": {"KEY_GPU_MAX_NUM_THREADS": 4}}}, "COMPILATION_NUM_THREADS: 4"),
        ({"properties": {"GPU": {"KEY_PERF_COUNT": "YES"}}}, "write PERF_COUNT"),
        (
            {"properties": {"GPU": {"KEY_GPU_ENABLE_LOOP_UNROLLING": "NO"}}},
            "write GPU_ENABLE_LOOP_UNROLLING",
        ),
        ({"properties": {"GPU": {"KEY_CACHE_DIR": "/cache"}}}, "spec.cache.compiled"),
        ({"properties": {"GPU": {"KEY_CONFIG_FILE": "/layers.xml"}}}, "write CONFIG_FILE"),
        ({"properties": {"GPU": {"KEY_GPU_NV12_TWO_INPUTS": "YES"}}}, "spec.model.inputs[].client"),
        ({"properties": {"GPU": {"KEY_TUNING_MODE": "TUNING_CREATE"}}}, "removed"),
        ({"properties": {"GPU": {"KEY_DUMP_KERNELS": "YES"}}}, "removed"),
        ({"properties": {"GPU": {"KEY_CLDNN_GRAPH_DUMPS_DIR": "/tmp"}}}, "removed"),
        ({"properties": {"GPU": {"KEY_EXCLUSIVE_ASYNC_REQUESTS": "YES"}}}, "EXCLUSIVE_ASYNC_REQUESTS"),
        ({"properties": {"GPU": {"OPTIMAL_BATCH_SIZE": 4}}}, "read"),
        ({"targetDevice": "AUTO:GPU.1,CPU.0"}, "CPU"),
        ({"targetDevice": "gpu"}, "GPU"),
        ({"hints": {"performanceMode": "THROUGHPUT", "numStreams": 2}}, "numStreams"),
        (
            {"hints": {"performanceMode": "LATENCY"}, "properties": {"GPU": {"NUM_STREAMS": 2}}},
            "NUM_STREAMS",
        ),
        ({"targetDevice": "BATCH:GPU(16)", "model": [1, -1]}, "BATCH"),
        ({"targetDevice": "NPU", "model": [1, -1]}, "NPU"),
    ],
)
def test_what_can_not_be_is_refused_with_what_to_write(
    spec: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model: dict[str, object] = {"uri": "pvc://models/model.xml"}
    if shape := spec.pop("model", None):
        model["inputs"] = [{"name": "x", "shape": shape}]
    body = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "x"},
        "spec": {"model": model, "targetDevice": "GPU", **spec},
    }
    file = tmp_path / "x.yaml"
    file.write_text(yaml.safe_dump(body))
    assert main(["validate", str(file)]) == 1
    assert said in capsys.readouterr().out
