"""`spec.model.inputs[].buckets`: fixed shapes that requests are padded to."""

from collections.abc import Iterator

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import ITEM
from vinoserve_api.v1alpha1 import YUV_FORMATS, Input, Model

BESIDE_SHAPE = "stands instead of shape; remove one of them"
FIXED = "a bucket has fixed sizes; write numbers from 1"
RANK = "all buckets of an input have equally many dimensions; write a number for each"
LAYOUT = "has another number of dimensions than the buckets; write a letter for each"
PAD_ALONE = "is what requests are padded with to fill a bucket; write buckets, or remove padValue"
CLIENT_SHAPE = "with buckets, clients send any size that a bucket holds; remove client.shape"
RESIZE = "pictures are either resized or padded to a bucket; remove resize or buckets"
ENCODING = "decoded pictures are not padded; write resize and shape instead of buckets"
COLOR = "the planes of such pictures can't be padded; remove buckets, or let clients send RGB"
EQUALLY_MANY = (
    "the first buckets of all inputs belong together, the second, and so on: write equally many for each"
)


def check_buckets(model: Model) -> Iterator[Problem]:
    counts = [len(tensor.buckets) for tensor in model.inputs if tensor.buckets is not None]
    for i, tensor in enumerate(model.inputs):
        path = f"spec.model.inputs[{i}]"
        for problem in _check_input(tensor):
            yield Problem(f"{path}.{problem.path}", problem.message)
        if tensor.buckets is not None and len(tensor.buckets) != counts[0]:
            yield Problem(f"{path}.buckets", EQUALLY_MANY)


def _check_input(tensor: Input) -> Iterator[Problem]:
    if tensor.buckets is None:
        if tensor.pad_value != 0:
            yield Problem("padValue", PAD_ALONE)
        return
    if tensor.shape is not None:
        yield Problem("buckets", BESIDE_SHAPE)
    for k, bucket in enumerate(tensor.buckets):
        if len(bucket) != len(tensor.buckets[0]):
            yield Problem(f"buckets[{k}]", RANK)
        for j, size in enumerate(bucket):
            if isinstance(size, str) or size < 1:
                yield Problem(f"buckets[{k}][{j}]", f"{quoted(size)}: {FIXED}")
    if tensor.layout is not None and len(tensor.layout) != len(tensor.buckets[0]):
        yield Problem("layout", f"{quoted(tensor.layout)} {LAYOUT}")
    if tensor.resize is not None:
        yield Problem("resize", RESIZE)
    if tensor.client is None:
        return
    if tensor.client.shape is not None:
        yield Problem("client.shape", CLIENT_SHAPE)
    if tensor.client.encoding == "image":
        yield Problem("client.encoding", ENCODING)
    if tensor.client.color_format in YUV_FORMATS:
        yield Problem("client.colorFormat", COLOR)


# --- the same in CEL

_NONE = "!has(self.buckets)"
CEL = (
    CelRule(ITEM, f"{_NONE} || !has(self.shape)", f"buckets {BESIDE_SHAPE}", ".buckets"),
    CelRule("spec.model.inputs[].buckets[][]", "type(self) == int && int(self) > 0", FIXED),
    CelRule("spec.model.inputs[].buckets", "self.all(b, size(b) == size(self[0]))", RANK),
    CelRule(
        ITEM,
        f"{_NONE} || !has(self.layout) || size(self.layout) == size(self.buckets[0])",
        f"layout {LAYOUT}",
        ".layout",
    ),
    CelRule(ITEM, "has(self.buckets) || !has(self.padValue) || self.padValue == 0.0", PAD_ALONE, ".padValue"),
    CelRule(ITEM, f"{_NONE} || !has(self.resize)", RESIZE, ".resize"),
    CelRule(ITEM, f"{_NONE} || !has(self.client) || !has(self.client.shape)", CLIENT_SHAPE, ".client.shape"),
    CelRule(
        ITEM,
        f"{_NONE} || !has(self.client) || !has(self.client.encoding) || self.client.encoding != 'image'",
        ENCODING,
        ".client.encoding",
    ),
    CelRule(
        ITEM,
        f"{_NONE} || !has(self.client) || !has(self.client.colorFormat)"
        f" || !(self.client.colorFormat in {list(YUV_FORMATS)})",
        COLOR,
        ".client.colorFormat",
    ),
    CelRule(
        "spec.model",
        "!has(self.inputs) || [self.inputs.filter(i, has(i.buckets))].all(f,"
        " f.all(i, size(i.buckets) == size(f[0].buckets)))",
        EQUALLY_MANY,
        ".inputs",
    ),
)
