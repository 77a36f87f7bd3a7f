"""Triton's REST client as a function: tensors in, tensors out."""

# ruff: noqa: PLC0415 - the client takes a while to import: not while tests are collected

from collections.abc import Mapping

import numpy as np


def infer(
    url: str, model: str, tensors: Mapping[str, np.ndarray], *, binary: bool = True
) -> dict[str, np.ndarray]:
    """Every output by its name, in the order of the model's metadata."""
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import np_to_triton_dtype

    with InferenceServerClient(url, network_timeout=300, connection_timeout=300) as client:
        names = [output["name"] for output in client.get_model_metadata(model)["outputs"]]
        inputs = [
            InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype)).set_data_from_numpy(
                tensor, binary_data=binary
            )
            for name, tensor in tensors.items()
        ]
        outputs = [InferRequestedOutput(name, binary_data=binary) for name in names]
        result = client.infer(model, inputs, outputs=outputs)
        return {name: result.as_numpy(name) for name in names}
