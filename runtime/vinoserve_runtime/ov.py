"""OpenVINO, as its compiled extension alone.

The package's `__init__` also imports converter tools and telemetry: 0.33 s of a start, and nothing that serves a model.
"""

import importlib
import importlib.util
import sys
import types
from typing import Any, Final, cast

__all__ = ["ov", "unwrap_model", "wrap_model"]


def _load_extension() -> types.ModuleType:
    """`openvino._pyopenvino`, without running `openvino/__init__.py`; `import openvino` still works afterwards."""
    if "openvino" in sys.modules:
        return importlib.import_module("openvino._pyopenvino")
    spec = importlib.util.find_spec("openvino")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("OpenVINO is not installed: install vinoserve[runtime]", name="openvino")
    package = types.ModuleType("openvino")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["openvino"] = package
    try:
        return importlib.import_module("openvino._pyopenvino")
    finally:
        del sys.modules["openvino"]


ov: Any = _load_extension()


_CONVERTER: Final = "openvino.tools.ovc"


def wrap_model(model: Any) -> Any:
    """`model` as the package's own class, which PrePostProcessor and the pass manager insist on.

    Imports the package: only models that are processed or pinned pay for it.
    """
    return _import_package().Model(model)


def _import_package() -> types.ModuleType:
    """Without its converter, which the package can be had without: importing that one reports to Google Analytics, from a fork."""
    if _CONVERTER in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[_CONVERTER] = cast("types.ModuleType", None)  # what `import` takes for "not installed"
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_CONVERTER]


def unwrap_model(model: Any) -> Any:
    """The extension's model in the package's."""
    return getattr(model, "_Model__model", model)
