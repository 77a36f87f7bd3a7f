import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.problem import InvalidObject, Problem
from vinoserve_api.reading import read_class, read_service

SERVICE: dict[str, Any] = {
    "apiVersion": "vinoserve.dev/v1alpha1",
    "kind": "InferenceService",
    "metadata": {"name": "resnet50", "namespace": "vision"},
    "spec": {
        "model": {
            "uri": "https://models.example/resnet50.onnx",
            "inputs": [
                {
                    "name": "data",
                    "shape": [1, 3, 224, "1..224"],
                    "layout": "NCHW",
                    "client": {"elementType": "u8", "layout": "NHWC", "colorFormat": "RGB"},
                    "model": {"colorFormat": "BGR"},
                    "mean": [1.5],
                }
            ],
            "outputs": [{"name": "prob", "elementType": "f32"}],
        },
        "targetDevice": "HETERO:GPU,CPU",
        "hints": {"numRequests": 8, "inferencePrecision": "f16"},
        "properties": {"GPU": {"GPU_QUEUE_THROTTLE": "LOW"}, "CPU": {"INFERENCE_NUM_THREADS": 4}},
        "uncheckedProperties": {"GPU": {"SOME_NEW_KEY": "1"}},
        "operatorAffinity": [{"device": "CPU", "types": ["Inverse"]}],
        "cache": {"compiled": {"type": "EmptyDir", "sizeLimit": "2Gi"}},
        "limits": {"maxRequestBytes": "64Mi"},
        "resources": {"requests": {"cpu": 1}, "limits": {"cpu": "2"}},
        "podTemplate": {"labels": {"team": "vision"}, "tolerations": [{"operator": "Exists"}]},
    },
}


def refusal(document: Any) -> InvalidObject:
    with pytest.raises(InvalidObject) as caught:
        read_service(document)
    return caught.value


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(SERVICE)
    *parents, last = path.split(".")
    part = document
    for name in parents:
        part = part[name]
    part[last] = value
    return document


def test_an_object_from_the_cluster() -> None:
    """Metadata and status are as the API server has them, and none of the user's business."""
    metadata = SERVICE["metadata"] | {
        "uid": "1", "generation": 3, "creationTimestamp": None, "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [], "labels": {"a": "b"},
    }  # fmt: skip
    service = read_service(SERVICE | {"metadata": metadata, "status": {"conditions": "of a newer version"}})
    assert service.status is None
    assert service.metadata.generation == 3
    assert service.spec.model.inputs[0].shape == (1, 3, 224, "1..224")


def test_all_problems_are_said_at_once() -> None:
    document = changed("spec.replicas", "2")
    document["spec"]["hints"]["perfHint"] = "LATENCY"
    document["spec"]["model"]["format"] = "ONNX"
    assert [problem.path for problem in refusal(document).problems] == [
        "spec.model.format",
        "spec.hints.perfHint",
        "spec.replicas",
    ]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("spec.targetDevice", "gpu", AcceptedReason.INVALID_DEVICE),
        ("spec.properties", {"GPU": {"X": 1}}, AcceptedReason.INVALID_PROPERTY),
        ("spec.uncheckedProperties", {"NPU": {"X": "1"}}, AcceptedReason.INVALID_PROPERTY),
        ("spec.replicas", -1, AcceptedReason.INVALID_SPEC),
    ],
)
def test_reasons(path: str, value: Any, reason: AcceptedReason) -> None:
    assert {problem.reason for problem in refusal(changed(path, value)).problems} == {reason}


@pytest.mark.parametrize("document", [{}, {"spec": None}, {"spec": []}, {"metadata": None, "spec": {}}])
def test_hardly_an_object(document: dict[str, Any]) -> None:
    assert refusal(document).problems


def test_a_class_is_no_service() -> None:
    with pytest.raises(InvalidObject, match='kind: "InferenceService" is not AcceleratorClass'):
        read_class(SERVICE)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none(number: float) -> None:
    error = refusal(changed("spec.model.inputs", [{"name": "x", "mean": [number]}]))
    assert str(error).startswith("spec.model.inputs[0].mean[0]: ")
    assert "a finite number belongs here" in str(error)


def test_a_long_value_is_not_repeated_whole() -> None:
    assert len(str(refusal(changed("spec.targetDevice", "x" * 10_000)))) < 300
    assert len(str(refusal(changed("spec.onFallback", "x" * 10_000)))) < 300


def test_a_password_is_not_repeated() -> None:
    assert "hunter2" not in str(
        refusal(changed("spec.model.uri", "https://me:hunter2@models.example/a.onnx"))
    )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "GPU", "NPU", "NCHW", "1..4", "64Mi", "{0}", "%s", "..", "\x00", "RGBX", "é", "a" * 300]
    )
    | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3)
    ),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return []
    return [(value, key) for key, _ in pairs] + [place for _, part in pairs for place in places(part)]


@settings(max_examples=200)
@given(st.data())
def test_anything_is_read_or_refused_with_a_reason(data: st.DataObject) -> None:
    """Whatever the API server lets through (or a user writes) never crashes the reader."""
    document = copy.deepcopy(SERVICE)
    for _ in range(data.draw(st.integers(1, 3))):
        spots = places(document["spec"])
        if not spots:
            break
        container, key = data.draw(st.sampled_from(range(len(spots))).map(spots.__getitem__))
        if isinstance(container, dict) and data.draw(st.booleans()):
            container[data.draw(st.text(max_size=6) | st.just(f"{key}x"))] = container.pop(key)
        else:
            container[key] = data.draw(json_values)
    problems: tuple[Problem, ...] = ()
    try:
        service = read_service(document)
    except InvalidObject as error:
        problems = error.problems
    else:
        json.dumps(service.dump(), allow_nan=False)
        assert read_service(service.dump()) == service
        return
    assert problems
    for problem in problems:
        assert problem.path.startswith("spec")
        assert problem.message
        assert "\n" not in str(problem)
