from typing import Any

import onnx
import pytest

from tools.demo.flow import read_metadata, show
from tools.demo.ocr import Reading
from tools.demo.prepare import find_gpu_resource
from tools.toolbox.errors import ToolError


class Cluster:
    def __init__(self, **allocatable: str) -> None:
        self.allocatable = {name.replace("_", "/"): count for name, count in allocatable.items()}

    def get(self, *_: str) -> dict[str, Any]:
        return {"items": [{"status": {"allocatable": self.allocatable}}]}


@pytest.mark.parametrize(
    ("cluster", "resource"),
    [
        (Cluster(**{"gpu.intel.com_xe": "2"}), "gpu.intel.com/xe"),
        (Cluster(**{"gpu.intel.com_i915": "1"}), "gpu.intel.com/i915"),
        (Cluster(**{"gpu.intel.com_xe": "0", "gpu.intel.com_i915": "1"}), "gpu.intel.com/i915"),
    ],
)
def test_the_class_asks_for_what_nodes_offer(cluster: Cluster, resource: str) -> None:
    assert find_gpu_resource(cluster, "GPU") == resource


def test_no_gpu_in_the_cluster() -> None:
    assert find_gpu_resource(Cluster(cpu="2"), "CPU")
    with pytest.raises(ToolError, match=r"no node offers gpu\.intel\.com/xe or gpu\.intel\.com/i915"):
        find_gpu_resource(Cluster(cpu="2"), "GPU")


def test_the_text_alone_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    show("Hello  there", Reading("Hello there", 0.987), 0.0)
    out, err = capsys.readouterr()
    assert out.strip() == "Hello there"
    assert "as it was written" in err
    assert "98.7%" in err


def test_a_misreading_is_admitted(capsys: pytest.CaptureFixture[str]) -> None:
    show("x", Reading("X", 0.77), 0.0)
    assert "it was written 'x'" in capsys.readouterr().err


def test_nothing_read_is_a_failure() -> None:
    with pytest.raises(ToolError, match="read nothing"):
        show("x", Reading("", 0.0), 0.0)


def test_metadata(tmp_path: Any) -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"character": "a\nb"})
    onnx.save(model, tmp_path / "m.onnx")
    assert read_metadata(tmp_path / "m.onnx", "character") == "a\nb"
    with pytest.raises(ToolError, match="no metadata 'dictionary'"):
        read_metadata(tmp_path / "m.onnx", "dictionary")
