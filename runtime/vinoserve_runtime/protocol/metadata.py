"""What the metadata endpoints say, as plain JSON objects."""

from collections.abc import Sequence
from typing import Any, Final

from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import TensorInfo

SERVER_NAME: Final = "vinoserve"
EXTENSIONS: Final = ("binary_tensor_data",)
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


def _tensors(infos: Sequence[TensorInfo]) -> list[dict[str, Any]]:
    return [{"name": info.name, "datatype": info.datatype, "shape": info.shape} for info in infos]
