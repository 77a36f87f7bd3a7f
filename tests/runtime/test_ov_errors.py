"""OpenVINO's exceptions, as it really writes them, become a reason and one readable line."""

import pytest

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.ov_errors import explain, make_startup_error

UNSUPPORTED_PROPERTY = """Exception from src/inference/src/cpp/core.cpp:117:
Exception from src/inference/src/dev/plugin.cpp:54:
Exception from src/plugins/intel_cpu/src/config.cpp:505:
NotFound: Unsupported property NEW by CPU plugin.
"""
UNSUPPORTED_OPERATOR = """Exception from src/inference/src/cpp/core.cpp:117:
Check 'false' failed at src/plugins/intel_gpu/src/plugin/program_builder.cpp:163:
[GPU] ProgramBuilder build failed!
Check 'false' failed at src/plugins/intel_gpu/src/plugin/program_builder.cpp:123:
[GPU] Operation: inv of type Inverse(opset14) is not supported

"""
NO_LOADER = """Exception from src/inference/src/cpp/core.cpp:117:
Cannot load library "libopenvino_intel_gpu_plugin.so": libOpenCL.so.1: cannot open shared object file
"""
TOO_LARGE = (
    "[GPU] Exceeded max size of memory object allocation: requested 5 bytes, but max alloc size is 4 bytes."
)

TEXTS = [
    (
        UNSUPPORTED_PROPERTY,
        FailureReason.INVALID_PROPERTY,
        "NotFound: Unsupported property NEW by CPU plugin.",
    ),
    (
        UNSUPPORTED_OPERATOR,
        FailureReason.UNSUPPORTED_OPERATOR,
        "[GPU] ProgramBuilder build failed!; [GPU] Operation: inv of type Inverse(opset14) is not supported",
    ),
    (NO_LOADER, FailureReason.DEVICE_NOT_FOUND, None),
    (TOO_LARGE, FailureReason.OUT_OF_DEVICE_MEMORY, None),
    (
        "[GPU] CL_OUT_OF_RESOURCES exception.\nDue to a driver bug, any subsequent OpenCL API call may cause\n",
        FailureReason.OUT_OF_DEVICE_MEMORY,
        "[GPU] CL_OUT_OF_RESOURCES exception.",
    ),
    ("[GPU] clFlush, error code: -5 CL_OUT_OF_RESOURCES", FailureReason.OUT_OF_DEVICE_MEMORY, None),
    ("std::bad_alloc", FailureReason.OUT_OF_MEMORY, None),
    ("something that nobody has seen", FailureReason.COMPILE_FAILED, "something that nobody has seen"),
]


@pytest.mark.parametrize(("text", "reason", "line"), TEXTS)
def test_a_text_becomes_a_reason_and_a_line(text: str, reason: FailureReason, line: str | None) -> None:
    error = make_startup_error(RuntimeError(text), FailureReason.COMPILE_FAILED, "compiling failed")
    assert error.reason == reason
    assert "\n" not in str(error)
    assert "Exception from" not in str(error)
    if line is not None:
        assert str(error) == f"compiling failed: {line}"


def test_out_of_memory_has_no_text_of_its_own() -> None:
    error = make_startup_error(MemoryError(), FailureReason.COMPILE_FAILED, "compiling failed")
    assert error.reason == FailureReason.OUT_OF_MEMORY


def test_a_long_text_is_cut() -> None:
    assert len(explain(RuntimeError("x" * 5000))) < 1100
