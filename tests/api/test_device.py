"""The grammar of targetDevice: what it takes, what it says about the rest, and what it implies."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinoserve_api.device import (
    MAX_TARGET_LENGTH,
    TARGET_PATTERN,
    Device,
    Target,
    TargetError,
    matches_execution,
    parse_target,
)

indices = st.integers(0, 99)
devices = st.one_of(
    st.builds(Device, st.sampled_from(["CPU", "GPU", "NPU"])),
    st.builds(Device, st.just("GPU"), indices),
    st.builds(Device, st.just("GPU"), indices, indices),
)


def lists_of(minimum: int, maximum: int) -> st.SearchStrategy[tuple[Device, ...]]:
    return st.lists(devices, min_size=minimum, max_size=maximum, unique_by=lambda d: d.canonical).map(tuple)


@st.composite
def auto_targets(draw: st.DrawFn) -> Target:
    listed = draw(lists_of(0, 6))
    cut = draw(st.integers(0, len(listed)))
    return Target("AUTO", listed[:cut], listed[cut:])


targets = st.one_of(
    st.builds(Target, st.none(), lists_of(1, 1)),
    st.builds(Target, st.sampled_from(["MULTI", "HETERO"]), lists_of(1, 6)),
    st.builds(Target, st.just("BATCH"), lists_of(1, 1), batch=st.none() | st.integers(1, 9999)),
    auto_targets().filter(lambda t: t.candidate_kinds),
)


@given(targets)
def test_what_is_printed_parses_to_the_same(target: Target) -> None:
    text = str(target)
    assert len(text) <= MAX_TARGET_LENGTH
    assert parse_target(text) == target
    assert re.search(TARGET_PATTERN, text)


@given(st.text(max_size=40) | st.text(alphabet="ACGHNOPRTU.,:()-0126 abc;", max_size=24))
def test_any_text_is_a_target_or_a_helpful_refusal(text: str) -> None:
    try:
        parse_target(text)
    except TargetError as caught:
        error = caught
    else:
        assert re.fullmatch(TARGET_PATTERN, text)
        return
    assert str(error).startswith("not a device: ")
    if error.suggestion is not None:
        assert str(error).endswith(error.suggestion)
        assert str(parse_target(error.suggestion))


def test_pattern_is_within_what_kubernetes_understands() -> None:
    """RE2 has no lookaround and no backreferences, and OpenAPI patterns are searched, so it anchors itself."""
    assert not re.search(r"\(\?[=!<P]|\\[1-9]", TARGET_PATTERN)
    assert TARGET_PATTERN.startswith("^")
    assert TARGET_PATTERN.endswith("$")


@pytest.mark.parametrize(
    "text",
    [
        "CPU", "GPU", "GPU.0", "GPU.1", "GPU.99", "GPU.1.0", "NPU", "AUTO", "AUTO:GPU,CPU", "AUTO:-GPU", "AUTO:-CPU,-NPU",
        "AUTO:GPU.1,GPU.0", "AUTO:GPU,-GPU.1", "MULTI:GPU,CPU", "MULTI:CPU", "HETERO:GPU,CPU", "HETERO:GPU.0,GPU.1",
        "BATCH:GPU", "BATCH:CPU(16)", "BATCH:GPU.1.0(4)", "AUTO:NPU,GPU,CPU", "HETERO:GPU.0.0,GPU.0.1",
    ],
)  # fmt: skip
def test_valid_targets_print_as_written(text: str) -> None:
    assert str(parse_target(text)) == text


@pytest.mark.parametrize(
    ("text", "why", "suggestion"),
    [
        ("gpu", "device names are upper case", "GPU"),
        ("Auto:GPU", "device names are upper case", "AUTO:GPU"),
        ("hetero:gpu,cpu", "device names are upper case", "HETERO:GPU,CPU"),
        ("BATCH:gpu(4)", "device names are upper case", "BATCH:GPU(4)"),
        ("CPU.0", "there is one CPU device, without an index", "CPU"),
        ("NPU.0", "there is one NPU device, without an index", "NPU"),
        ("AUTO:GPU.1,CPU.0", "there is one CPU device, without an index", "AUTO:GPU.1,CPU"),
        ("GPU:0", "a GPU's index follows a dot", "GPU.0"),
        ("GPU1", "a GPU's index follows a dot", "GPU.1"),
        ("AUTO:CPU,GPU:1", "a GPU's index follows a dot", "AUTO:CPU,GPU.1"),
        ("GPU.01", "an index has no leading zeros", "GPU.1"),
        ("GPU.100", "an index is at most 99", None),
        ("GPU.", "a dot announces the GPU's index", "GPU"),
        ("GPU.0.0.0", "a GPU is named by an index and perhaps a tile", "GPU.0.0"),
        ("HETERO:GPU;CPU", "devices are separated by a comma", "HETERO:GPU,CPU"),
        ("HETERO:GPU:CPU", "devices are separated by a comma", "HETERO:GPU,CPU"),
        ("HETERO:GPU, CPU", "white space", "HETERO:GPU,CPU"),
        (" GPU", "white space", "GPU"),
        ("GPU\n", "white space", "GPU"),
        ("HETERO:GPU,CPU,", "a comma stands between two devices", "HETERO:GPU,CPU"),
        ("HETERO:GPU,,CPU", "a comma stands between two devices", "HETERO:GPU,CPU"),
        ("MULTI", "this mode needs its devices", "MULTI:GPU,CPU"),
        ("HETERO:", "this mode needs its devices", "HETERO:GPU,CPU"),
        ("BATCH", "this mode needs its devices", "BATCH:GPU"),
        ("AUTO:", "a colon announces devices", "AUTO"),
        ("AUTO:-", "'-' goes before the device", "AUTO"),
        ("AUTO:!GPU", "'-' goes before a device", "AUTO:-GPU"),
        ("HETERO:GPU,-CPU", "only AUTO can exclude", "HETERO:GPU"),
        ("-GPU", "only AUTO can exclude", "AUTO:-GPU"),
        ("AUTO:-CPU,-GPU,-NPU", "all devices are excluded", None),
        ("AUTO:GPU,-GPU.0", "GPU is both named and excluded", None),
        ("HETERO:GPU,GPU", "GPU is named twice", "HETERO:GPU"),
        ("HETERO:GPU,GPU.0", "GPU and GPU.0 are one device", "HETERO:GPU"),
        ("MULTI:GPU.0,CPU,GPU", "GPU.0 and GPU are one device", "MULTI:CPU,GPU"),
        ("AUTO:-GPU,-GPU", "GPU is named twice", "AUTO:-GPU"),
        ("GPU,CPU", "a list of devices needs a mode", "AUTO:GPU,CPU"),
        ("HETERO:MULTI:GPU,CPU", "modes don't nest", "HETERO:GPU,CPU"),
        ("BATCH:AUTO", "modes don't nest", None),
        ("BATCH:CPU:16", "the batch size follows the device in brackets", "BATCH:CPU(16)"),
        ("BATCH:CPU16", "the batch size follows the device in brackets", "BATCH:CPU(16)"),
        ("BATCH:GPU.1:4", "the batch size follows the device in brackets", "BATCH:GPU.1(4)"),
        ("BATCH:CPU(0)", "a batch has at least one request in it", "BATCH:CPU"),
        ("BATCH:CPU(10000)", "a batch has at most 9999 requests in it", "BATCH:CPU"),
        ("BATCH:GPU,CPU", "BATCH takes one device", "BATCH:GPU"),
        ("MULTI:GPU(4),CPU(2)", "only BATCH takes a number in brackets", "MULTI:GPU,CPU"),
        ("MYRIAD", "left OpenVINO", None),
        ("VPU", "is called NPU today", "NPU"),
        ("HETERO:FPGA,CPU", "left OpenVINO", None),
        ("cuda:0", "there is no CUDA device", None),
        ("AUTO:FOO,CPU", "write CPU, GPU, GPU.1, NPU, AUTO", None),
        ("CPUU", "did you mean", "CPU"),
        ("HETRO:GPU,CPU", "did you mean", "HETERO:GPU,CPU"),
        ("", "targetDevice is empty", None),
        ("\uff27\uff30\uff35", "plain ASCII", None),
        ("GPU" * 100, "at most 256 characters", None),
    ],
)  # fmt: skip
def test_refusals_say_what_to_write(text: str, why: str, suggestion: str | None) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(text)
    assert why in str(caught.value)
    assert caught.value.suggestion == suggestion


def test_the_message_reads_as_a_sentence() -> None:
    with pytest.raises(TargetError, match=r"^not a device: 'gpu'; device names are upper case: GPU$"):
        parse_target("gpu")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("CPU", {}), ("GPU", {"GPU": 1}), ("GPU.1", {"GPU": 2}), ("GPU.1.0", {"GPU": 2}), ("NPU", {"NPU": 1}), ("AUTO", {}),
        ("AUTO:-GPU.3", {}), ("AUTO:GPU,-GPU.3", {"GPU": 1}), ("HETERO:GPU.0,GPU.1", {"GPU": 2}), ("BATCH:GPU(4)", {"GPU": 1}),
        ("MULTI:GPU.0.0,GPU.0.1,CPU", {"GPU": 1}), ("AUTO:NPU,GPU.2,CPU", {"NPU": 1, "GPU": 3}),
    ],
)  # fmt: skip
def test_accelerators_needed(text: str, units: dict[str, int]) -> None:
    assert parse_target(text).units() == units


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("CPU", {"CPU"}), ("GPU.1.0", {"GPU"}), ("AUTO", {"AUTO", "CPU", "GPU", "NPU"}), ("AUTO:-GPU", {"AUTO", "CPU", "NPU"}),
        ("AUTO:-GPU.1", {"AUTO", "CPU", "GPU", "NPU"}), ("AUTO:GPU,CPU", {"AUTO", "GPU", "CPU"}), ("MULTI:GPU", {"AUTO", "GPU"}),
        ("HETERO:GPU,CPU", {"HETERO", "GPU", "CPU"}), ("BATCH:GPU(4)", {"BATCH", "GPU"}),
    ],
)  # fmt: skip
def test_property_blocks(text: str, blocks: set[str]) -> None:
    assert parse_target(text).property_blocks == blocks


@pytest.mark.parametrize(
    ("text", "static", "cpu", "fallback"),
    [
        ("CPU", False, True, "Warn"), ("GPU", False, False, "Fail"), ("NPU", True, False, "Fail"), ("AUTO", False, False, "Warn"),
        ("AUTO:-CPU", False, False, "Warn"), ("AUTO:GPU,CPU", False, True, "Warn"), ("AUTO:NPU,GPU", True, False, "Fail"),
        ("HETERO:GPU,CPU", False, True, "Warn"), ("BATCH:GPU", True, False, "Fail"), ("AUTO:-NPU", False, False, "Warn"),
    ],
)  # fmt: skip
def test_shapes_and_fallback(text: str, static: bool, cpu: bool, fallback: str) -> None:
    target = parse_target(text)
    assert (target.needs_static_shapes, target.names_cpu, target.default_on_fallback) == (
        static,
        cpu,
        fallback,
    )


@pytest.mark.parametrize(
    ("text", "execution", "matches"),
    [
        ("CPU", ["CPU"], True),
        ("CPU", ["GPU.0"], False),
        ("GPU", ["GPU.0"], True),
        ("GPU", ["CPU"], False),
        ("GPU", ["GPU.1"], False),
        ("GPU", ["GPU.0", "CPU"], False),
        ("GPU.1", ["GPU.1"], True),
        ("GPU.0", ["GPU.0.1"], False),
        ("GPU.0.1", ["GPU.0.1"], True),
        ("GPU.0.1", ["GPU.0"], False),
        ("GPU", ["(GPU.0)"], False),
        ("GPU", [], False),
        ("NPU", ["NPU"], True),
        ("NPU", ["NPU.3720"], True),
        ("BATCH:GPU(4)", ["GPU.0"], True),
        ("BATCH:GPU(4)", ["CPU"], False),
        ("HETERO:GPU,CPU", ["GPU.0", "CPU"], True),
        ("HETERO:GPU,CPU", ["GPU.0"], True),
        ("HETERO:GPU,CPU", ["CPU"], False),
        ("HETERO:GPU.1,CPU", ["GPU.0", "CPU"], False),
        ("MULTI:GPU,CPU", ["GPU.0", "CPU"], True),
        ("MULTI:GPU,CPU", ["GPU.0", "GPU.1", "CPU"], True),
        ("MULTI:GPU,CPU", ["CPU"], False),
        ("MULTI:GPU.0,GPU.1", ["GPU.0"], False),
        ("MULTI:GPU.0,CPU", ["GPU.0", "GPU.1", "CPU"], False),
        ("AUTO:GPU,CPU", ["GPU.0"], True),
        ("AUTO:GPU,CPU", ["GPU.1"], True),
        ("AUTO:GPU,CPU", ["GPU.0", "CPU"], True),
        ("AUTO:GPU,CPU", ["CPU"], False),
        ("AUTO:GPU,CPU", ["(CPU)"], False),
        ("AUTO:GPU.1,GPU.0", ["GPU.0"], False),
        ("AUTO:GPU.1,GPU.0", ["GPU.1", "GPU.0"], True),
        ("AUTO:CPU,GPU", ["CPU"], True),
        ("AUTO:GPU,CPU", ["GPU.0", "NPU"], False),
        ("AUTO", ["CPU"], True),
        ("AUTO", ["(CPU)"], True),
        ("AUTO", ["GPU.0"], True),
        ("AUTO", [], False),
        ("AUTO:-GPU", ["CPU"], True),
        ("AUTO:-GPU", ["GPU.1"], False),
        ("AUTO:-GPU.1", ["GPU.0"], True),
        ("AUTO:-GPU.1", ["GPU.1"], False),
        ("AUTO:-CPU", ["(CPU)"], False),
    ],
)
def test_never_ready_on_another_device_by_accident(
    text: str, execution: Sequence[str], matches: bool
) -> None:
    assert matches_execution(parse_target(text), execution) is matches
