"""Run as a process of its own, so that the measuring one never loads OpenVINO: writes a model, tensors for it, and its answers.

    prepare.py KIND FOLDER        KIND: tiny, resnet, mlp, or the path of a model file

FOLDER gets model.xml (or the file itself), tensors.npz with `in:NAME` and `out:NAME`, and signature.json.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as ops

SEED = 7
DATATYPES = {
    "f32": "FP32", "f16": "FP16", "f64": "FP64", "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64",
    "u8": "UINT8", "u16": "UINT16", "u32": "UINT32", "u64": "UINT64", "boolean": "BOOL",
}  # fmt: skip
RESNET_50 = ((3, 64), (4, 128), (6, 256), (3, 512))


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True)
    makers = {"tiny": make_tiny, "resnet": make_resnet, "mlp": make_mlp}
    if kind in makers:
        path = folder / "model.xml"
        ov.save_model(makers[kind](), path, compress_to_fp16=False)
    else:
        path = folder / f"model{Path(kind).suffix}"
        shutil.copy2(kind, path)
        if (weights := Path(kind).with_suffix(".bin")).exists():
            shutil.copy2(weights, folder / "model.bin")
    write_answers(path, folder)


def make_tiny() -> ov.Model:
    """y = max(x + 1, 0) of 16 numbers: all that it costs is the server's."""
    x = make_input("x", [1, 16])
    return ov.Model([name(ops.relu(ops.add(x, ops.constant(1, ov.Type.f32))), "y")], [x], "tiny")


def make_mlp() -> ov.Model:
    """Three layers, 6 million weights, any batch: one row reads as much memory as thirty-two."""
    rng, x = np.random.default_rng(SEED), make_input("x", [-1, 512])
    y: ov.Output | ov.Node = x
    for rows, columns in ((512, 2048), (2048, 2048), (2048, 512)):
        weights = rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
        y = ops.relu(ops.matmul(y, ops.constant(weights), False, False))
    return ov.Model([name(y, "y")], [x], "mlp")


def make_resnet() -> ov.Model:
    """ResNet-50's layers (25 million weights, 600 kB in, 1,000 classes out) with random weights, batch norms folded in."""
    rng, x = np.random.default_rng(SEED), make_input("x", [1, 3, 224, 224])
    y = ops.relu(convolve(rng, x, 3, 64, size=7, stride=2))
    y = ops.max_pool(y, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    channels = 64
    for stage, (blocks, width) in enumerate(RESNET_50):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            inner = ops.relu(convolve(rng, y, channels, width, size=1, stride=1))
            inner = ops.relu(convolve(rng, inner, width, width, size=3, stride=stride))
            inner = convolve(rng, inner, width, 4 * width, size=1, stride=1)
            skip = y if block else convolve(rng, y, channels, 4 * width, size=1, stride=stride)
            y = ops.relu(ops.add(inner, skip))
            channels = 4 * width
    pooled = ops.reduce_mean(y, ops.constant([2, 3], ov.Type.i64), False)
    weights = rng.normal(0, channels**-0.5, (channels, 1000)).astype(np.float32)
    return ov.Model([name(ops.matmul(pooled, ops.constant(weights), False, False), "y")], [x], "resnet")


def convolve(
    rng: np.random.Generator, x: ov.Node | ov.Output, inputs: int, outputs: int, *, size: int, stride: int
) -> ov.Node:
    weights = rng.normal(0, (inputs * size * size) ** -0.5, (outputs, inputs, size, size)).astype(np.float32)
    pad = [size // 2] * 2
    bias = ops.constant(np.zeros((1, outputs, 1, 1), np.float32))
    return ops.add(ops.convolution(x, ops.constant(weights), [stride] * 2, pad, pad, [1, 1]), bias)


def make_input(tensor: str, shape: list[int]) -> ov.Node:
    x = ops.parameter(shape, ov.Type.f32, name=tensor)
    x.output(0).get_tensor().set_names({tensor})
    return x


def name(node: ov.Node, tensor: str) -> ov.Node:
    node.output(0).get_tensor().set_names({tensor})
    return node


def write_answers(path: Path, folder: Path) -> None:
    """One request (each dimension that the model leaves open is 1) and what OpenVINO answers to it."""
    model = ov.Core().read_model(path)
    rng = np.random.default_rng(SEED)
    given, inputs, outputs = {}, [], []
    for port in model.inputs:
        shape = [d.get_length() if d.is_static else 1 for d in port.partial_shape]
        dtype = np.dtype(port.element_type.to_dtype())
        values = np.round(rng.random(shape), 3) if dtype.kind == "f" else rng.integers(0, 2, shape)
        given[port.any_name] = values.astype(dtype)
        inputs.append(describe(port, shape))
    answer = ov.Core().compile_model(model, "CPU")(given)
    arrays = {f"in:{key}": value for key, value in given.items()}
    for port in model.outputs:
        found = answer[port.any_name]
        arrays[f"out:{port.any_name}"] = found
        outputs.append(describe(port, list(found.shape)))
    np.savez(folder / "tensors.npz", **arrays)
    signature = {"file": path.name, "inputs": inputs, "outputs": outputs}
    (folder / "signature.json").write_text(json.dumps(signature))


def describe(port: ov.Output, shape: list[int]) -> dict[str, object]:
    """`shape`: of the one request; `dims`: the model's own, -1 where it leaves one open."""
    dims = [d.get_length() if d.is_static else -1 for d in port.partial_shape]
    datatype = DATATYPES[port.element_type.get_type_name()]
    return {"name": port.any_name, "datatype": datatype, "shape": shape, "dims": dims}


if __name__ == "__main__":
    main()
