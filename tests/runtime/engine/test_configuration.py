"""What each kind of target is told: by device where OpenVINO wants it by device, flat where it doesn't."""

from typing import Any

import pytest

from tests.runtime.configs import make_config
from vinoserve_api.device import parse_target
from vinoserve_runtime.engine.configuration import Configuration, make_configuration

FREE = {"ENABLE_CPU_PINNING": False}
"""What the CPU is told where nobody says otherwise."""


def make(target: str, devices: list[str], **fields: Any) -> Configuration:
    return make_configuration(make_config(targetDevice=target, **fields), parse_target(target), devices)


def test_one_device_is_told_flat() -> None:
    made = make(
        "CPU",
        ["CPU"],
        hints={"performanceMode": "THROUGHPUT", "inferencePrecision": "f32", "numRequests": 4},
        properties={"CPU": {"INFERENCE_NUM_THREADS": 2}},
        uncheckedProperties={"CPU": {"NEW_KEY": "1"}},
    )
    assert made.properties == {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT_NUM_REQUESTS": 4,
        "INFERENCE_NUM_THREADS": 2,
        "NEW_KEY": "1",
        **FREE,
    }


def test_a_hint_that_a_device_lacks_goes_to_those_that_have_it() -> None:
    made = make("AUTO:GPU,CPU", ["GPU", "CPU"], hints={"modelPriority": "HIGH"})
    assert made.properties == {
        "MODEL_PRIORITY": "HIGH",
        "DEVICE_PROPERTIES": {"GPU": {"MODEL_PRIORITY": "HIGH"}, "CPU": FREE},
    }


@pytest.mark.parametrize("target", ["AUTO:GPU.1,CPU", "MULTI:GPU.1,CPU", "HETERO:GPU.1,CPU"])
def test_the_precision_reaches_every_device(target: str) -> None:
    made = make(target, ["GPU.1", "CPU"], hints={"inferencePrecision": "f32"})
    assert made.properties["DEVICE_PROPERTIES"] == {
        "GPU.1": {"INFERENCE_PRECISION_HINT": "f32"},
        "CPU": {"INFERENCE_PRECISION_HINT": "f32", **FREE},
    }


def test_autos_word_for_all_devices_is_throughput_to_each() -> None:
    made = make("AUTO:GPU,CPU", ["GPU", "CPU"], hints={"performanceMode": "CUMULATIVE_THROUGHPUT"})
    assert made.properties["PERFORMANCE_HINT"] == "CUMULATIVE_THROUGHPUT"
    assert made.properties["DEVICE_PROPERTIES"]["CPU"]["PERFORMANCE_HINT"] == "THROUGHPUT"


def test_multi_keeps_its_own_default_beside_device_properties() -> None:
    made = make("MULTI:GPU,CPU", ["GPU", "CPU"], properties={"CPU": {"INFERENCE_NUM_THREADS": 2}})
    assert made.properties["PERFORMANCE_HINT"] == "THROUGHPUT"


def test_batch_hands_everything_on() -> None:
    made = make(
        "BATCH:CPU(4)",
        ["CPU"],
        hints={"inferencePrecision": "f32"},
        properties={"CPU": {"INFERENCE_NUM_THREADS": 1}, "BATCH": {"AUTO_BATCH_TIMEOUT": 20}},
    )
    assert made.properties == {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": 1,
        "AUTO_BATCH_TIMEOUT": 20,
        **FREE,
    }


def test_what_concerns_the_reading_goes_to_the_core() -> None:
    made = make("CPU", ["CPU"], properties={"CPU": {"ENABLE_MMAP": False, "INFERENCE_NUM_THREADS": 1}})
    assert made.core == {"CPU": {"ENABLE_MMAP": False}}
    assert made.properties == {"INFERENCE_NUM_THREADS": 1, **FREE}


def test_streams_are_told_to_the_devices_alone() -> None:
    made = make("AUTO:CPU", ["CPU"], hints={"numStreams": 2})
    assert made.properties == {"DEVICE_PROPERTIES": {"CPU": {"NUM_STREAMS": "2", **FREE}}}


@pytest.mark.parametrize(("block", "value"), [("properties", True), ("uncheckedProperties", "YES")])
def test_who_asks_for_pinned_threads_gets_them(block: str, value: object) -> None:
    made = make("CPU", ["CPU"], **{block: {"CPU": {"ENABLE_CPU_PINNING": value}}})
    assert made.properties == {"ENABLE_CPU_PINNING": value}


def test_other_devices_are_told_nothing_that_nobody_asked_for() -> None:
    assert make("GPU", ["GPU"]).properties == {}
