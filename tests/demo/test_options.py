import pytest

from tools.demo.options import TEXT, Options, read_options
from tools.toolbox.errors import ToolError


def test_defaults() -> None:
    assert read_options(["up"], {}) == ("up", Options("CPU", TEXT, "devcluster", None))


def test_make_hands_its_variables_over_in_the_environment() -> None:
    environment = {
        "DEVICE": "GPU",
        "TEXT": "two words",
        "CLUSTER": "current",
        "IMAGE": "registry/vinoserve:1",
    }
    assert read_options(["up"], environment)[1] == Options(
        "GPU", "two words", "current", "registry/vinoserve:1"
    )


def test_an_argument_goes_before_a_variable() -> None:
    assert read_options(["up", "--device", "CPU", "--text", ""], {"DEVICE": "GPU", "TEXT": "x"})[1].text == ""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DEVICE": "gpu"}, "DEVICE=gpu: write DEVICE=CPU or DEVICE=GPU"),
        ({"CLUSTER": "kind"}, "CLUSTER=kind: write CLUSTER=current"),
        ({"CLUSTER": "current"}, "CLUSTER=current needs IMAGE=PREFIX"),
        ({"IMAGE": "registry/vinoserve"}, "IMAGE is for CLUSTER=current"),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        read_options(["up"], environment)


def test_taking_it_down_needs_no_image() -> None:
    assert read_options(["down"], {"CLUSTER": "current"})[1].cluster == "current"


@pytest.mark.parametrize(
    ("image", "runtime"),
    [
        ("registry/vinoserve", "registry/vinoserve-runtime"),
        ("registry/vinoserve:1.0", "registry/vinoserve-runtime:1.0"),
        ("localhost:5000/vinoserve", "localhost:5000/vinoserve-runtime"),
        ("localhost:5000/team/vinoserve:1.0", "localhost:5000/team/vinoserve-runtime:1.0"),
    ],
)
def test_image_names(image: str, runtime: str) -> None:
    options = Options("CPU", TEXT, "current", image)
    assert options.runtime_image == runtime
    assert options.operator_image == runtime.replace("-runtime", "-operator")
