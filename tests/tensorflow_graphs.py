"""Small TensorFlow models, made without TensorFlow: the few fields of GraphDef and SavedModel that a graph needs."""

from pathlib import Path

_FLOAT = 1  # DataType.DT_FLOAT


def write_frozen(path: Path, operation: str = "Relu", shape: tuple[int, ...] = (1, 4)) -> Path:
    """A frozen graph: `y` = operation(`x` + `z`), f32."""
    path.write_bytes(_graph(operation, shape))
    return path


def write_saved_model(folder: Path, shape: tuple[int, ...] = (1, 4)) -> Path:
    """A SavedModel of the same graph, whose signature names the tensors `second` (z), `first` (x) and `sum` (y); without variables."""
    inputs = (_field(1, _text(1, name) + _field(2, _tensor(tensor, shape))) for name, tensor in _SIGNATURE)
    outputs = _field(2, _text(1, "sum") + _field(2, _tensor("y:0", shape)))
    signature = b"".join(inputs) + outputs + _text(3, "tensorflow/serving/predict")
    meta_graph = (
        _field(1, _text(4, "serve"))
        + _field(2, _graph("Relu", shape))
        + _field(5, _text(1, "serving_default") + _field(2, signature))
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(_number(1, 1) + _field(2, meta_graph))
    return folder


_SIGNATURE = (("second", "z:0"), ("first", "x:0"))


def _graph(operation: str, shape: tuple[int, ...]) -> bytes:
    of_float = {"T": _number(6, _FLOAT)}
    placeholder = {"dtype": _number(6, _FLOAT), "shape": _field(7, _shape(shape))}
    nodes = (
        ("x", "Placeholder", (), placeholder),
        ("z", "Placeholder", (), placeholder),
        ("sum", "AddV2", ("x", "z"), of_float),
        ("y", operation, ("sum",), of_float),
    )
    return b"".join(_field(1, _node(*node)) for node in nodes)


def _node(name: str, operation: str, inputs: tuple[str, ...], attributes: dict[str, bytes]) -> bytes:
    named = b"".join(_field(5, _text(1, key) + _field(2, value)) for key, value in attributes.items())
    return _text(1, name) + _text(2, operation) + b"".join(_text(3, source) for source in inputs) + named


def _tensor(name: str, shape: tuple[int, ...]) -> bytes:
    return _text(1, name) + _number(2, _FLOAT) + _field(3, _shape(shape))


def _shape(dimensions: tuple[int, ...]) -> bytes:
    return b"".join(_field(2, _number(1, size)) for size in dimensions)


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    *more, last = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in more), last])
