"""What the metadata endpoints say, as plain JSON objects."""

from collections.abc import Sequence
from typing import Any, Final

from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import TensorInfo

SERVER_NAME: Final = "vinoserve"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository")
PLATFORM: Final = "openvino"


def make_server_metadata(version: str) -> dict[str, Any]:
    return {"name": SERVER_NAME, "version": version, "extensions": EXTENSIONS}


def make_model_metadata(name: str, version: str, signature: Signature) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORM,
        "inputs": _tensors(signature.inputs),
        "outputs": _tensors(signature.outputs),
    }


def make_repository_index(name: str, version: str, why_not_ready: str | None) -> list[dict[str, str]]:
    """The one model; `why_not_ready` is None where it is."""
    state = "READY" if why_not_ready is None else "UNAVAILABLE"
    return [{"name": name, "version": version, "state": state, "reason": why_not_ready or ""}]


def _tensors(infos: Sequence[TensorInfo]) -> list[dict[str, Any]]:
    return [{"name": info.name, "datatype": info.datatype, "shape": info.shape} for info in infos]
