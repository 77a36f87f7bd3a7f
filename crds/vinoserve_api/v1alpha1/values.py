"""Names, and the kinds of value that fields of the API have."""

from typing import Annotated, Final, Literal

from pydantic import Field

from vinoserve_api.fields import IntOrText, Matches
from vinoserve_api.quantity import QUANTITY_PATTERN

GROUP = "vinoserve.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
DEFAULT_CLASS_ANNOTATION = f"{GROUP}/is-default-class"
RENDER_GID_LABEL = f"{GROUP}/render-gid"

ElementType = Literal[
    "boolean", "f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"
]
ColorFormat = Literal[
    "RGB",
    "BGR",
    "RGBX",
    "BGRX",
    "GRAY",
    "NV12_SINGLE_PLANE",
    "NV12_TWO_PLANES",
    "I420_SINGLE_PLANE",
    "I420_THREE_PLANES",
]
ModelColorFormat = Literal["RGB", "BGR", "GRAY"]
YUV_FORMATS: Final = ("NV12_SINGLE_PLANE", "NV12_TWO_PLANES", "I420_SINGLE_PLANE", "I420_THREE_PLANES")
CHANNELS: Final[dict[str, int]] = {
    "RGB": 3,
    "BGR": 3,
    "RGBX": 4,
    "BGRX": 4,
    "GRAY": 1,
    **dict.fromkeys(YUV_FORMATS, 1),
}
"""How many channels a picture has, by its colour format."""
ModelFormat = Literal["openvino", "onnx", "paddle", "tensorflow", "tflite"]
DeviceType = Literal["GPU", "NPU"]
OnFallback = Literal["Fail", "Warn", "Allow"]

MAX_SIZE = 2_147_483_647

DnsLabel = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
        "is not a name; write lower case letters, digits and '-', a letter first, at most 63 characters",
    ),
]
NamespaceName = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "is not the name of a namespace; write lower case letters, digits and '-', at most 63 characters",
    ),
]
ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matches(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "is not the name of an object; write lower case letters, digits, '-' and '.', a letter or digit first and last",
    ),
]
Quantity = Annotated[
    int | str,
    IntOrText(
        0,
        9_007_199_254_740_992,
        QUANTITY_PATTERN,
        24,
        "is not a quantity; write a number with or without a unit, such as 64Mi or 2Gi (a fraction in quotes)",
    ),
]
Dimension = Annotated[
    int | str,
    IntOrText(
        -1,
        MAX_SIZE,
        r"^[1-9][0-9]{0,9}\.\.[1-9][0-9]{0,9}$",
        24,
        'is not a size; write a number from 1, "1..10" for any size from 1 to 10, or -1 for any size',
        without=0,
    ),
    Field(description='A size, "1..10" for any size from 1 to 10, or -1 for any size at all.'),
]
Shape = Annotated[tuple[Dimension, ...], Field(max_length=16)]
Layout = Annotated[
    str,
    Field(max_length=16, description="What each dimension means, such as NCHW; ? where it has no name."),
    Matches(
        r"^[A-Z?]+$",
        "is not a layout; write an upper case letter for each dimension, such as NCHW (? for one without a name)",
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=256)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_KEY = Matches(
    rf"^({_DOMAIN}/)?{_LABEL_NAME}$",
    "is not a label's or annotation's key; write NAME or DOMAIN/NAME, of letters, digits, '-', '_' and '.'",
)
LABEL_VALUE = Matches(
    rf"^({_LABEL_NAME})?$",
    "is not a label's value; write at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last",
    frugal=True,
)
LabelKey = Annotated[str, Field(max_length=317), LABEL_KEY]
LabelValue = Annotated[str, Field(max_length=63), LABEL_VALUE]
LabelMap = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]
AnnotationMap = Annotated[dict[LabelKey, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
