"""What the catalogue says about one property."""

from dataclasses import dataclass, field
from typing import Final, Literal

Block = Literal["CPU", "GPU", "NPU", "AUTO", "MULTI", "HETERO", "BATCH"]
ValueType = Literal[
    "enum",
    "bool",
    "int",
    "float",
    "string",
    "path",
    "streams",  # a number, or a keyword of `values`
    "device",  # a device name of the targetDevice grammar
    "utilization",  # {device: percent}
    "curves",  # {device class: {percent: score}}
]

#: The blocks of spec.properties. MULTI has none of its own: AUTO's configures both.
BLOCKS: Final[tuple[Block, ...]] = ("CPU", "GPU", "NPU", "AUTO", "HETERO", "BATCH")

MAX_INTEGER: Final = 2_147_483_647
MAX_TEXT: Final = 4096
CURVE_DEVICES: Final = ("CPU", "iGPU", "dGPU", "NPU")


@dataclass(frozen=True)
class PropertySpec:
    """One property on the devices where it means the same; a key has a spec for each set of allowed values.

    `default` is OpenVINO's own, for people to read; nothing sets it. `read_only` ones are for the status. `managed_by` is
    the field that vinoserve sets the property from. `hint_field` is the field of spec.hints that says the same.
    `before_read` ones concern the reading of the model: they go to the Core before it, not to compile_model.
    """

    key: str
    blocks: frozenset[Block]
    type: ValueType
    description: str
    default: str = ""
    values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    read_only: bool = False
    managed_by: str | None = None
    hint_field: str | None = None
    before_read: bool = field(default=False, kw_only=True)

    @property
    def settable(self) -> bool:
        return not self.read_only and self.managed_by is None
