"""Pictures in planes on OpenVINO's real GPU plugin: the same as on the CPU."""

from pathlib import Path
from typing import Any

import pytest

from tests.models import write_identity
from tests.runtime.gpu.probing import F32, agree, probe

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("color_format", "target", "fields"),
    [
        ("NV12_SINGLE_PLANE", "RGB", {}),
        ("NV12_TWO_PLANES", "BGR", {}),
        ("NV12_TWO_PLANES", "GRAY", {}),
        ("NV12_TWO_PLANES", "RGB", {"resize": "linear"}),
        ("I420_SINGLE_PLANE", "BGR", {}),
        ("I420_THREE_PLANES", "RGB", {"resize": "linear", "mean": [1.0, 2.0, 3.0]}),
        ("I420_THREE_PLANES", "GRAY", {}),
    ],
)
def test_planes_are_the_same_on_gpu_and_cpu(
    one_gpu: dict[str, str], tmp_path: Path, color_format: str, target: str, fields: dict[str, Any]
) -> None:
    path = write_identity(tmp_path / "m.xml", [1, 1 if target == "GRAY" else 3, 4, 6])
    entry = {
        "name": "x",
        "layout": "NCHW",
        "client": {"elementType": "u8", "colorFormat": color_format},
        "model": {"colorFormat": target},
        **fields,
    }
    config = {"inputs": [entry], "hints": F32}
    on_cpu = probe(one_gpu, path, tmp_path / "cache", **config)
    result = probe(one_gpu, path, tmp_path / "cache", targetDevice="GPU", **config)
    assert result["seen"] == [["GPU.0"]]
    agree(result, on_cpu, 1e-3)
