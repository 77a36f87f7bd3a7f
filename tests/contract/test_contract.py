"""The operator and the runtime read what the other one writes."""

import json
from pathlib import Path

import pytest
import yaml

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import (
    CONFIG_PATH,
    RuntimeConfig,
    RuntimeFailure,
    RuntimeReport,
    make_runtime_config,
    make_termination_message,
    read_report,
)
from vinoserve_api.reading import read_service
from vinoserve_operator.commands import render
from vinoserve_operator.status.pods import PodView

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.input.yaml")), ids=lambda p: p.name.split(".")[0])
def test_a_rendered_config_is_the_runtime_config_of_the_service(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    service = read_service(documents[0])
    output = list(yaml.safe_load_all((GOLDEN / path.name.replace("input", "output")).read_text()))
    config_map, deployment = (next(d for d in output if d["kind"] == k) for k in ("ConfigMap", "Deployment"))
    pod = deployment["spec"]["template"]["spec"]
    volume = next(v for v in pod["volumes"] if v["name"] == "config")["configMap"]
    item = volume["items"][0]
    for container in (*pod["initContainers"], *pod["containers"]):
        mount = next(m for m in container["volumeMounts"] if m["name"] == "config")
        assert f"{mount['mountPath']}/{item['path']}" == CONFIG_PATH == container["command"][-1]
    config = RuntimeConfig.model_validate_json(config_map["data"][item["key"]])
    assert config == make_runtime_config(service)


def test_the_config_is_plain_json_in_the_same_order_each_time() -> None:
    service = read_service(
        {
            "apiVersion": "vinoserve.dev/v1alpha1",
            "kind": "InferenceService",
            "metadata": {"name": "a"},
            "spec": {
                "model": {
                    "uri": "https://example.com/m.onnx",
                    "inputs": [{"name": "é😀\u0085", "shape": [-1]}],
                }
            },
        }
    )
    config_map = next(yaml.safe_load_all(render([service])))
    (text,) = config_map["data"].values()
    assert json.loads(text)["inputs"][0]["name"] == "é😀\u0085"


@pytest.mark.parametrize("reason", FailureReason)
def test_a_termination_message_becomes_the_failure_of_the_pod(reason: FailureReason) -> None:
    message = make_termination_message(RuntimeFailure(reason=reason, message="what and why " * 500))
    code = (
        139 if reason is FailureReason.ENGINE_CRASHED else 1
    )  # a crash is one that SIGSEGV or the like has ended
    ended = {"terminated": {"exitCode": code, "message": message, "finishedAt": "2026-01-01T00:00:00Z"}}
    pod = {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": "serve", "state": {"waiting": {}}, "lastState": ended}]},
    }
    diagnosis = PodView(pod).diagnose()
    assert diagnosis is not None
    # a device that was lost may be back with the next start
    assert (diagnosis.reason, diagnosis.stuck) == (reason, reason is not FailureReason.DEVICE_LOST)
    assert diagnosis.message.startswith("what and why")


def test_a_report_survives_the_way() -> None:
    report = RuntimeReport(phase="Compiling", target_device="GPU", execution_devices=("GPU.0",))
    assert read_report(json.dumps(report.dump())) == report


def test_a_limit_that_nobody_set_is_not_in_the_config_and_rolls_no_pod() -> None:
    def make(**spec: object) -> dict[str, object]:
        model = {"uri": "https://example.com/m.onnx"}
        metadata = {"name": "a"}
        raw = {"apiVersion": "vinoserve.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata}
        return make_runtime_config(read_service({**raw, "spec": {"model": model, **spec}})).dump()

    assert make(cache={"model": {"sizeLimit": "1Mi"}}) == {**make(), "modelSizeLimit": 2**20}
    assert "modelSizeLimit" not in make()


def test_a_block_without_properties_is_the_same_to_a_pod_as_none() -> None:
    def make(**spec: object) -> RuntimeConfig:
        model = {"uri": "https://example.com/m.onnx"}
        metadata = {"name": "a"}
        raw = {"apiVersion": "vinoserve.dev/v1alpha1", "kind": "InferenceService", "metadata": metadata}
        return make_runtime_config(
            read_service({**raw, "spec": {"model": model, "targetDevice": "GPU", **spec}})
        )

    assert make(properties={"GPU": {}}, uncheckedProperties={"GPU": {}}) == make()
