"""The grammar of `targetDevice`: parse it, print it, and what it implies for accelerators, properties and readiness.

    target = device | "AUTO" [":" list] | "MULTI:" list | "HETERO:" list | "BATCH:" device ["(" n ")"]
    list   = ["-"] device {"," ["-"] device}          ("-": excluded, AUTO only)
    device = "CPU" | "GPU" ["." x ["." y]] | "NPU"    (GPU is GPU.0; y is a tile)

OpenVINO itself is lenient where it hurts (`AUTO:FOO,CPU` runs silently on the CPU) and terse where it isn't, so the whole
grammar is checked here, and every refusal says what to write instead.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast, get_args

from vinoserve_api.device_repair import explain, repair

Kind = Literal["CPU", "GPU", "NPU"]
Mode = Literal["AUTO", "MULTI", "HETERO", "BATCH"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ACCELERATORS: Final[tuple[Kind, ...]] = ("GPU", "NPU")
MAX_TARGET_LENGTH: Final = 256

_INDEX = "(?:0|[1-9][0-9]?)"  # 0 to 99
#: One device, without anchors.
DEVICE_PATTERN: Final = rf"(?:CPU|NPU|GPU(?:\.{_INDEX}(?:\.{_INDEX})?)?)"
_BATCH_SIZE = "[1-9][0-9]{0,3}"  # 1 to 9999

#: The grammar as far as a regular expression goes, RE2's dialect (OpenAPI, CEL). What it lets through and `parse_target`
#: refuses: a device named twice, and every kind excluded.
TARGET_PATTERN: Final = (
    rf"^(?:{DEVICE_PATTERN}"
    rf"|AUTO(?::-?{DEVICE_PATTERN}(?:,-?{DEVICE_PATTERN})*)?"
    rf"|(?:MULTI|HETERO):{DEVICE_PATTERN}(?:,{DEVICE_PATTERN})*"
    rf"|BATCH:{DEVICE_PATTERN}(?:\({_BATCH_SIZE}\))?)$"
)

_TARGET: Final = re.compile(TARGET_PATTERN)
_FORMS: Final = (
    "write CPU, GPU, GPU.1, NPU, AUTO, AUTO:GPU,CPU, MULTI:GPU,CPU, HETERO:GPU,CPU or BATCH:GPU(4)"
)


class TargetError(ValueError):
    """A `targetDevice` outside the grammar. `str()` is a sentence for the user; `suggestion` is a valid target or None."""

    def __init__(self, text: str, why: str, suggestion: str | None = None) -> None:
        shown = text if len(text) <= MAX_TARGET_LENGTH else text[:MAX_TARGET_LENGTH] + "…"
        super().__init__(f"not a device: {shown!r}; {why}" + (f": {suggestion}" if suggestion else ""))
        self.suggestion = suggestion


@dataclass(frozen=True)
class Device:
    """One device as it is written; `GPU` and `GPU.0` print differently and `canonical` makes them equal."""

    kind: Kind
    index: int | None = None
    tile: int | None = None

    def __str__(self) -> str:
        return ".".join([self.kind, *(str(n) for n in (self.index, self.tile) if n is not None)])

    @property
    def canonical(self) -> "Device":
        return replace(self, index=0) if self.kind == "GPU" and self.index is None else self


@dataclass(frozen=True)
class Target:
    """A parsed `targetDevice`; `parse_target(str(t)) == t`."""

    mode: Mode | None
    devices: tuple[Device, ...]
    excluded: tuple[Device, ...] = ()
    batch: int | None = None

    def __str__(self) -> str:
        names = ",".join([*(str(d) for d in self.devices), *(f"-{d}" for d in self.excluded)])
        size = "" if self.batch is None else f"({self.batch})"
        return ":".join(part for part in (self.mode, names + size) if part)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of device that are named (and not excluded); empty for plain `AUTO`."""
        return frozenset(d.kind for d in self.devices)

    @property
    def names_cpu(self) -> bool:
        return "CPU" in self.kinds

    @property
    def needs_static_shapes(self) -> bool:
        """The NPU compiles static shapes only, and automatic batching does nothing on a dynamic batch (measured)."""
        return self.mode == "BATCH" or "NPU" in self.kinds

    @property
    def default_on_fallback(self) -> Literal["Fail", "Warn"]:
        return "Fail" if self.devices and not self.names_cpu else "Warn"

    @property
    def candidate_kinds(self) -> frozenset[Kind]:
        """What may run the model: the named kinds or, where AUTO is left to choose, all that it doesn't exclude.

        `-GPU` excludes every GPU, `-GPU.1` that one (measured).
        """
        without = {d.kind for d in self.excluded if d.index is None}
        return self.kinds or frozenset(KINDS) - without

    @property
    def property_blocks(self) -> frozenset[str]:
        """The blocks of `spec.properties` that mean something to this target; MULTI is configured by AUTO's."""
        block = "AUTO" if self.mode == "MULTI" else self.mode
        return self.candidate_kinds | ({block} if block else frozenset())

    def units(self) -> dict[str, int]:
        """How many accelerators of each type a pod needs.

        OpenVINO numbers the GPUs that the pod sees, so `GPU.1` needs two of them; a tile counts as its GPU.
        """
        needed: dict[str, int] = {}
        for device in self.devices:
            if device.kind in ACCELERATORS:
                needed[device.kind] = max(needed.get(device.kind, 0), (device.index or 0) + 1)
        return needed


def parse_target(text: str) -> Target:
    """The target that `text` names, or a `TargetError` that says what is wrong and what was probably meant."""
    if len(text) > MAX_TARGET_LENGTH:
        raise TargetError(text, f"a target has at most {MAX_TARGET_LENGTH} characters")
    if not _TARGET.fullmatch(text):
        guess = repair(text)
        valid = guess is not None and _TARGET.fullmatch(guess) and _contradiction(_read(guess)) is None
        raise TargetError(
            text, explain(text) or ("did you mean" if valid else _FORMS), guess if valid else None
        )
    target = _read(text)
    contradiction = _contradiction(target)
    if contradiction is not None:
        guess = repair(text)
        raise TargetError(text, contradiction, guess if guess != text else None)
    return target


def matches_execution(target: Target, execution_devices: Sequence[str]) -> bool:
    """Whether what runs is what was asked for: a CPU that steps in for a GPU is never a match.

    `execution_devices` is OpenVINO's EXECUTION_DEVICES. A name in brackets, `(CPU)`, stands in while AUTO compiles for the
    device that it chose.

    - One device, or BATCH of one: that device and no other. `GPU` is `GPU.0`; a tile is not its GPU.
    - HETERO: its first device, perhaps with others that it names (those may have got no operator to run).
    - MULTI: every device that it names and no other.
    - AUTO with a list, which is an order of preference: its first device, perhaps with others that it names
      (CUMULATIVE_THROUGHPUT). A later one alone is a fallback, and so is the CPU that stands in.
    - AUTO left to choose: anything that it doesn't exclude, standing in or not.

    To AUTO and MULTI a `GPU` without an index is any GPU, to the others it is GPU.0 (measured).
    """
    if not target.devices:
        chosen = [_reported(name.strip("()")) for name in execution_devices]
        return bool(chosen) and not any(_covers(out, device) for out in target.excluded for device in chosen)
    running = [_reported(name) for name in execution_devices if not name.startswith("(")]
    listed = [d if target.mode in ("AUTO", "MULTI") else d.canonical for d in target.devices]
    required = listed if target.mode == "MULTI" else listed[:1]
    return all(any(_covers(named, device) for device in running) for named in required) and all(
        any(_covers(named, device) for named in listed) for device in running
    )


def _reported(name: str) -> Device | None:
    """A device as OpenVINO reports it, or None for one that the grammar doesn't know."""
    if name.partition(".")[0] == "NPU":
        return Device("NPU")  # what follows the dot is a platform (NPU.3720), not an index
    return _read_device(name).canonical if re.fullmatch(DEVICE_PATTERN, name) else None


def _covers(written: Device, device: Device | None) -> bool:
    """Whether `device` is the one that is written or, where that has no index, one of its kind."""
    return device is not None and (
        device == written or (written.index is None and device.kind == written.kind)
    )


def _read(text: str) -> Target:
    """A text that the pattern matched."""
    mode = next((m for m in get_args(Mode) if text.startswith(m)), None)
    names, _, batch = text.removeprefix(mode or "").removeprefix(":").partition("(")
    listed = [name for name in names.split(",") if name]
    return Target(
        mode=mode,
        devices=tuple(_read_device(name) for name in listed if not name.startswith("-")),
        excluded=tuple(_read_device(name[1:]) for name in listed if name.startswith("-")),
        batch=int(batch[:-1]) if batch else None,
    )


def _read_device(name: str) -> Device:
    kind, *numbers = name.split(".")
    return Device(cast("Kind", kind), *(int(n) for n in numbers))


def _contradiction(target: Target) -> str | None:
    """What the pattern can't see."""
    for listed in (target.devices, target.excluded):
        seen: dict[Device, Device] = {}
        for device in listed:
            first = seen.setdefault(device.canonical, device)
            if first is not device:
                return (
                    f"{device} is named twice" if first == device else f"{first} and {device} are one device"
                )
    for device in target.devices:
        if device.canonical in {out.canonical for out in target.excluded}:
            return f"{device} is both named and excluded"
    if not target.candidate_kinds:
        return "all devices are excluded; leave at least one of CPU, GPU and NPU"
    return None
