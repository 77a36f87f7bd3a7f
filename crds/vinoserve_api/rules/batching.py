"""`spec.batching`: on the device with BATCH, else in the server."""

from collections.abc import Iterator

from vinoserve_api.device import TargetError, parse_target
from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import bounds, is_fixed
from vinoserve_api.v1alpha1 import InferenceServiceSpec, Input

SIZE_TWICE = "targetDevice says the batch size too; remove it there, or remove maxBatchSize"
TIMEOUT_TWICE = "properties.BATCH.AUTO_BATCH_TIMEOUT says the same; remove one of them"
NO_SIZE = (
    "without BATCH in targetDevice requests are put together in the server; write maxBatchSize, such as 16"
)
NO_ROOM = (
    "maxBatchSize samples must fit where the layout has N, else first: write a bound of at least maxBatchSize there, such "
    'as "1..16", or -1; or keep the shape and write BATCH:DEVICE into targetDevice'
)
NO_BATCH = "has no N, along which requests are put together; write N, or remove batching"


def check_batching(spec: InferenceServiceSpec) -> Iterator[Problem]:
    batching = spec.batching
    if batching is None:
        return
    try:
        target = parse_target(spec.target_device)
    except TargetError:  # which is said elsewhere
        return
    if target.mode == "BATCH":
        if target.batch is not None and batching.max_batch_size is not None:
            yield Problem("spec.batching.maxBatchSize", SIZE_TWICE)
        if batching.timeout_milliseconds is not None and "AUTO_BATCH_TIMEOUT" in spec.properties.get(
            "BATCH", {}
        ):
            yield Problem("spec.batching.timeoutMilliseconds", TIMEOUT_TWICE)
    elif batching.max_batch_size is None:
        yield Problem("spec.batching", NO_SIZE)
    else:
        for i, tensor in enumerate(spec.model.inputs):
            for problem in _check_room(tensor, batching.max_batch_size):
                yield Problem(f"spec.model.inputs[{i}].{problem.path}", problem.message)


def _check_room(tensor: Input, samples: int) -> Iterator[Problem]:
    if tensor.layout is not None and "N" not in tensor.layout:
        yield Problem("layout", f"{quoted(tensor.layout)} {NO_BATCH}")
        return
    if tensor.shape is None or (tensor.layout is not None and len(tensor.layout) != len(tensor.shape)):
        return
    at = 0 if tensor.layout is None else tensor.layout.index("N")
    if at >= len(tensor.shape):
        yield Problem("shape", NO_ROOM)
    elif is_fixed(tensor.shape[at]) or bounds(tensor.shape[at])[1] < samples:
        yield Problem(f"shape[{at}]", f"{quoted(tensor.shape[at])}: {NO_ROOM}")


# --- the same in CEL

_IN_SERVER = "!self.targetDevice.startsWith('BATCH')"
_PARTS = "string(d).split('..')"
CEL = (
    CelRule(
        "spec",
        "!has(self.batching) || !has(self.batching.maxBatchSize) || !self.targetDevice.matches('^BATCH:.*[(]')",
        SIZE_TWICE,
        ".batching.maxBatchSize",
    ),
    CelRule(
        "spec",
        "!has(self.batching) || !has(self.batching.timeoutMilliseconds) || !has(self.properties)"
        " || !has(self.properties.BATCH) || !has(self.properties.BATCH.AUTO_BATCH_TIMEOUT)",
        TIMEOUT_TWICE,
        ".batching.timeoutMilliseconds",
    ),
    CelRule(
        "spec",
        f"!has(self.batching) || has(self.batching.maxBatchSize) || !({_IN_SERVER})",
        NO_SIZE,
        ".batching",
    ),
    CelRule(
        "spec",
        f"!has(self.batching) || !has(self.batching.maxBatchSize) || !({_IN_SERVER}) || !has(self.model.inputs)"
        " || self.model.inputs.all(i, !has(i.layout) || i.layout.contains('N'))",
        f"a layout {NO_BATCH}",
        ".model.inputs",
    ),
    CelRule(
        "spec",
        f"!has(self.batching) || !has(self.batching.maxBatchSize) || !({_IN_SERVER}) || !has(self.model.inputs)"
        " || self.model.inputs.all(i, !has(i.shape) || has(i.layout) && size(i.layout) != size(i.shape)"
        " || [has(i.layout) ? i.layout.indexOf('N') : 0].all(n, n < 0 || n < size(i.shape) && [i.shape[n]].all(d,"
        f" type(d) == int ? int(d) == -1 : {_PARTS}[0] != {_PARTS}[1]"
        f" && int({_PARTS}[1]) >= self.batching.maxBatchSize)))",
        NO_ROOM,
        ".model.inputs",
    ),
)
