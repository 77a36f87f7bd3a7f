"""What `spec.model.inputs` and `outputs` may be: shapes, layouts, and the conversions that OpenVINO can build in."""

from collections.abc import Iterator

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules import colours, outputs, pictures
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import (
    CLIENT_LAYOUT,
    ITEM,
    REPEATED,
    bounds,
    client_layout,
    fixed,
    is_encoded,
    is_fixed,
    is_repeated,
    lower,
    may_be,
)
from vinoserve_api.v1alpha1 import MAX_SIZE, Dimension, Input, Model

BOUNDS = (
    f'the lower bound comes first, the upper is at most {MAX_SIZE}; write "1..10" for any size from 1 to 10'
)
RANK = "has another number of dimensions than shape; write a letter for each"
CLIENT_NEEDS_LAYOUT = "clients' layout is converted to the model's: set layout beside client"
CLIENT_LETTERS = "has other dimensions than the model's layout; write the same letters in clients' order"
CLIENT_RANK = "has another number of dimensions than its layout; write a size for each letter"
RESIZE_LAYOUT = "to resize, layout must say which dimensions are H and W; set layout, such as NCHW"
RESIZE_FIXED = "to resize, the model's H and W must be fixed sizes; write a number"
CHANNEL_LAYOUT = (
    "a number for each channel needs a layout that says which dimension is C; set layout, or write one number"
)
CHANNEL_FIXED = (
    "a number for each channel needs a fixed number of channels; write it into shape, or write one number"
)
SCALE_ZERO = "is a divisor; write a number other than 0"


def check_tensors(model: Model) -> Iterator[Problem]:
    names = {"inputs": [i.name for i in model.inputs], "outputs": [o.name for o in model.outputs]}
    for field, listed in names.items():
        for i, name in enumerate(listed):
            first = listed.index(name)
            if first != i:
                yield Problem(
                    f"spec.model.{field}[{i}].name",
                    f"{quoted(name)} is named twice; put all of it under {field}[{first}]",
                )
    for i, tensor in enumerate(model.inputs):
        for problem in _check_input(tensor):
            yield Problem(f"spec.model.inputs[{i}].{problem.path}", problem.message)
    for i, output in enumerate(model.outputs):
        for problem in outputs.check_output(output):
            yield Problem(f"spec.model.outputs[{i}].{problem.path}", problem.message)


def _check_input(tensor: Input) -> Iterator[Problem]:
    own = list(_check_forms(tensor)) or list(pictures.check_pictures(tensor))
    yield from own
    if own:  # what relates the parts to each other means nothing yet
        return
    yield from _check_client(tensor)
    yield from colours.check_colours(tensor)
    yield from _check_resize(tensor)
    yield from _check_channels(tensor)


def _check_forms(tensor: Input) -> Iterator[Problem]:
    client_shape = tensor.client.shape if tensor.client else None
    said = tensor.client.layout if tensor.client else None
    for path, shape in (("shape", tensor.shape), ("client.shape", client_shape)):
        for i, dimension in enumerate(shape or ()):
            low, high = bounds(dimension)
            if low > high or high > MAX_SIZE:
                yield Problem(f"{path}[{i}]", f"{quoted(dimension)}: {BOUNDS}")
    for path, layout in (("layout", tensor.layout), ("client.layout", said)):
        if is_repeated(layout):
            yield Problem(path, f"{quoted(layout)}: {REPEATED}")
            return
    if tensor.shape is not None and tensor.layout and len(tensor.shape) != len(tensor.layout):
        yield Problem("layout", f"{quoted(tensor.layout)} {RANK}: {len(tensor.shape)}")
    if said:
        yield from _check_letters(said, tensor.layout)
    rank = len(said or tensor.layout or tensor.shape or ())
    if client_shape is not None and rank and len(client_shape) != rank:
        yield Problem("client.shape", f"{CLIENT_RANK} ({rank})")


def _check_letters(client: str, model: str | None) -> Iterator[Problem]:
    if model is None:
        yield Problem("client.layout", CLIENT_NEEDS_LAYOUT)
    elif client != model and sorted(client) not in (sorted(model), sorted(model.replace("N", "", 1))):
        yield Problem("client.layout", f"{quoted(client)} {CLIENT_LETTERS} ({model})")
    elif client != model and client.count("?") > 1:
        yield Problem(
            "client.layout", f"{quoted(client)} has several '?', which can't be told apart; name them"
        )


def _side(tensor: Input, letter: str) -> tuple[int, Dimension, Dimension] | None:
    """Where in client.shape the dimension `letter` is, and its size there and in shape; None where one isn't said."""
    client = tensor.client
    if not (client and client.shape is not None and tensor.shape is not None and tensor.layout):
        return None
    at = (client_layout(tensor) or "").find(letter)
    model_at = tensor.layout.find(letter)
    return (at, client.shape[at], tensor.shape[model_at]) if min(at, model_at) >= 0 else None


def _check_client(tensor: Input) -> Iterator[Problem]:
    """Sizes that clients send against those that the model takes, where nothing converts them."""
    client = tensor.client
    if client is None or client.shape is None or tensor.shape is None:
        return
    pairs: list[tuple[int, Dimension, Dimension]] = []
    if tensor.layout is None or client_layout(tensor) == tensor.layout:
        letters = tensor.layout or "?" * len(tensor.shape)
        pairs = [
            (i, client.shape[i], size)
            for i, (letter, size) in enumerate(zip(letters, tensor.shape, strict=True))
            if not _is_converted(tensor, letter)
        ]
    else:
        sides = [
            _side(tensor, letter)
            for letter in tensor.layout
            if letter != "?" and not _is_converted(tensor, letter)
        ]
        pairs = [side for side in sides if side is not None]
        if len(client_layout(tensor) or "") < len(tensor.layout) and not may_be(
            tensor.shape[tensor.layout.index("N")], 1
        ):
            yield Problem(
                "client.layout", "leaves out N, but the model takes another batch size than 1; write N"
            )
    for i, sent, taken in pairs:
        if is_fixed(taken) and bounds(sent) != bounds(taken):
            how = "; write it, or set resize" if tensor.layout and tensor.resize is None else "; write it"
            yield Problem(
                f"client.shape[{i}]", f"{quoted(sent)}, but the model takes {bounds(taken)[0]} there{how}"
            )
        elif bounds(sent)[0] > bounds(taken)[1] or bounds(taken)[0] > bounds(sent)[1]:
            yield Problem(f"client.shape[{i}]", f"{quoted(sent)}, but the model takes {quoted(taken)} there")


def _is_converted(tensor: Input, letter: str) -> bool:
    """Whether a conversion changes this dimension's size."""
    if letter in ("H", "W"):
        return tensor.resize is not None or (letter == "H" and pictures.is_single_plane(tensor))
    return letter == "C" and colours.client_colour(tensor) is not None


def _check_resize(tensor: Input) -> Iterator[Problem]:
    if tensor.resize is None:
        return
    if tensor.layout is None or not {"H", "W"} <= set(tensor.layout):
        yield Problem("resize", RESIZE_LAYOUT)
        return
    if tensor.shape is not None:
        for letter in "HW":
            at = tensor.layout.index(letter)
            if not is_fixed(tensor.shape[at]):
                yield Problem(f"shape[{at}]", f"{quoted(tensor.shape[at])}: {RESIZE_FIXED}")


def _check_channels(tensor: Input) -> Iterator[Problem]:
    for i, divisor in enumerate(tensor.scale or ()):
        if divisor == 0:
            yield Problem(f"scale[{i}]", SCALE_ZERO)
    for path, numbers in (("mean", tensor.mean), ("scale", tensor.scale)):
        if numbers is None or len(numbers) == 1:
            continue
        if tensor.layout is None or "C" not in tensor.layout:
            yield Problem(path, CHANNEL_LAYOUT)
        elif tensor.shape is not None:
            channels = tensor.shape[tensor.layout.index("C")]
            if not is_fixed(channels):
                yield Problem(path, CHANNEL_FIXED)
            elif bounds(channels)[0] != len(numbers):
                yield Problem(
                    path,
                    f"has {len(numbers)} numbers for {bounds(channels)[0]} channels; write one, or one for each channel",
                )


def check_static(model: Model, why: str) -> Iterator[Problem]:
    """Every shape must be fixed; `why` names what asks for it."""
    for i, tensor in enumerate(model.inputs):
        path = f"spec.model.inputs[{i}]"
        client_shape = tensor.client.shape if tensor.client else None
        for name, shape in (("shape", tensor.shape), ("client.shape", client_shape)):
            for j, dimension in enumerate(shape or ()):
                if not is_fixed(dimension):
                    yield Problem(
                        f"{path}.{name}[{j}]",
                        f"{quoted(dimension)}, but {why} needs fixed sizes; write a number, or buckets instead of shape",
                    )
        if tensor.resize is not None and client_shape is None and not is_encoded(tensor):
            yield Problem(
                f"{path}.resize",
                f"lets clients send any size, but {why} needs fixed sizes; write them into client.shape",
            )


# --- the same in CEL

_CONVERTED = (
    "(l in ['H', 'W'] && has(self.resize) || l == 'C' && has(self.client.colorFormat) || l == '?'"
    " || l == 'H' && has(self.client.colorFormat) && self.client.colorFormat.contains('SINGLE'))"
)
_SIZE_SENT = f"self.client.shape[{CLIENT_LAYOUT}.indexOf(l)]"
_SIZE_TAKEN = "self.shape[self.layout.indexOf(l)]"


def _channels(field: str) -> tuple[CelRule, ...]:
    return (
        CelRule(
            ITEM,
            f"!has(self.{field}) || size(self.{field}) == 1 || has(self.layout) && self.layout.contains('C')",
            CHANNEL_LAYOUT,
            f".{field}",
        ),
        CelRule(
            ITEM,
            f"!has(self.{field}) || size(self.{field}) == 1 || !has(self.layout) || !has(self.shape) || !self.layout.contains('C')"
            f" || size(self.layout) != size(self.shape) || [self.shape[self.layout.indexOf('C')]].all(c, {fixed('c')}"
            f" && {lower('c')} == string(size(self.{field})))",
            "write one number, or one for each channel",
            f".{field}",
        ),
    )


CEL = (
    *(
        CelRule(
            f"spec.model.inputs[].{path}[]",
            "type(self) != string || !string(self).matches('^[0-9]{1,10}[.][.][0-9]{1,10}$')"
            " || int(string(self).split('..')[0]) <= int(string(self).split('..')[1])"
            f" && int(string(self).split('..')[1]) <= {MAX_SIZE}",
            BOUNDS,
        )
        for path in ("shape", "client.shape")
    ),
    *(
        CelRule(
            f"spec.model.inputs[].{path}",
            "self.split('').all(l, l == '?' || self.indexOf(l) == self.lastIndexOf(l))",
            REPEATED,
        )
        for path in ("layout", "client.layout")
    ),
    CelRule(
        ITEM,
        "!has(self.shape) || !has(self.layout) || size(self.shape) == size(self.layout)",
        f"layout {RANK}",
        ".layout",
    ),
    CelRule(
        ITEM,
        "!has(self.client) || !has(self.client.layout) || has(self.layout)",
        CLIENT_NEEDS_LAYOUT,
        ".client.layout",
    ),
    CelRule(
        ITEM,
        "!has(self.client) || !has(self.client.layout) || !has(self.layout) || self.client.layout == self.layout"
        " || self.client.layout.split('').all(l, self.layout.contains(l))"
        " && self.layout.split('').all(l, self.client.layout.contains(l) || l == 'N')"
        " && size(self.layout) - size(self.client.layout) == (self.layout.contains('N') && !self.client.layout.contains('N') ? 1 : 0)"
        " && self.client.layout.split('').filter(l, l == '?').size() <= 1",
        f"client.layout {CLIENT_LETTERS}",
        ".client.layout",
    ),
    CelRule(
        ITEM,
        "!has(self.client) || !has(self.client.shape) || size(self.client.shape) == (has(self.client.layout)"
        " ? size(self.client.layout) : has(self.layout) ? size(self.layout) : has(self.shape) ? size(self.shape)"
        " : size(self.client.shape))",
        CLIENT_RANK,
        ".client.shape",
    ),
    CelRule(
        ITEM,
        "!has(self.client) || !has(self.client.shape) || !has(self.shape) || !has(self.layout)"
        " || size(self.shape) != size(self.layout)"
        f" || size(self.client.shape) != size({CLIENT_LAYOUT})"
        f" || self.layout.split('').all(l, {_CONVERTED} || !{CLIENT_LAYOUT}.contains(l)"
        f" || !{fixed(_SIZE_TAKEN)} || {fixed(_SIZE_SENT)}"
        f" && {lower(_SIZE_SENT)} == {lower(_SIZE_TAKEN)})",
        "clients send another size than the model takes, and nothing converts it; write the model's, or set resize",
        ".client.shape",
    ),
    *colours.CEL,
    *pictures.CEL,
    CelRule(
        ITEM,
        "!has(self.resize) || has(self.layout) && self.layout.contains('H') && self.layout.contains('W')",
        RESIZE_LAYOUT,
        ".resize",
    ),
    CelRule(
        ITEM,
        "!has(self.resize) || !has(self.shape) || !has(self.layout) || size(self.shape) != size(self.layout)"
        " || ['H', 'W'].all(l, !self.layout.contains(l) || [self.shape[self.layout.indexOf(l)]].all(d, "
        + fixed("d")
        + "))",
        RESIZE_FIXED,
        ".shape",
    ),
    *_channels("mean"),
    *_channels("scale"),
    CelRule("spec.model.inputs[].scale[]", "self != 0.0", SCALE_ZERO),
    *outputs.CEL,
)
