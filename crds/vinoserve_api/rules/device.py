"""The device, and what must suit it: hints, properties, operators that are placed by hand, shapes."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from vinoserve_api.device import KINDS, TARGET_PATTERN, Target, TargetError, parse_target
from vinoserve_api.fields import cel_text, quoted
from vinoserve_api.problem import Problem, path_of
from vinoserve_api.properties import (
    BLOCKS,
    CATALOGUE,
    check_beside_hints,
    check_property,
    check_unchecked,
    devices_with,
    json_schema,
    lookup,
)
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import fixed
from vinoserve_api.rules.tensors import check_static
from vinoserve_api.v1alpha1 import Hints, InferenceServiceSpec

#: The field of spec.hints and the property that it sets, where devices differ in what they take.
HINTED = {"inferencePrecision": "INFERENCE_PRECISION_HINT", "numStreams": "NUM_STREAMS"}
PRECISIONS = ("f32", "f16", "bf16", "dynamic")

STREAMS_BESIDE = "performanceMode chooses the streams; remove numStreams or performanceMode"
CUMULATIVE = "CUMULATIVE_THROUGHPUT is for AUTO and MULTI; write THROUGHPUT"
PRIORITY = "the CPU has no priorities; remove modelPriority, or name a GPU or NPU in targetDevice"
ONLY_HETERO = "operators can be placed where targetDevice is HETERO:…; write HETERO and its devices there"
NOT_LISTED = "is not one of targetDevice's devices"
NOTHING_PLACED = "names no operators; write types or names"
STREAMS_IN_BLOCK = "PERFORMANCE_HINT chooses the streams; remove one of them"


def check_device(spec: InferenceServiceSpec) -> Iterator[Problem]:
    try:
        target = parse_target(spec.target_device)
    except TargetError as error:
        yield Problem("spec.targetDevice", str(error))
        return
    yield from _check_hints(spec.hints, target)
    yield from _check_properties(spec, target)
    yield from _check_affinity(spec, target)
    if target.needs_static_shapes:
        yield from check_static(spec.model, "BATCH" if target.mode == "BATCH" else "the NPU")


def _check_hints(hints: Hints, target: Target) -> Iterator[Problem]:
    wire = hints.dump()
    if "performanceMode" in wire and "numStreams" in wire:
        yield Problem("spec.hints.numStreams", STREAMS_BESIDE)
    if hints.performance_mode == "CUMULATIVE_THROUGHPUT" and target.mode not in ("AUTO", "MULTI"):
        yield Problem("spec.hints.performanceMode", CUMULATIVE)
    if hints.model_priority and not target.candidate_kinds & set(devices_with("MODEL_PRIORITY")):
        yield Problem("spec.hints.modelPriority", PRIORITY)
    for field, key in HINTED.items():
        for kind in (k for k in KINDS if k in target.kinds and field in wire):
            refused = check_property(kind, key, wire[field])
            if refused:
                yield Problem(f"spec.hints.{field}", f"targetDevice names {kind}, where it {refused}")


def _check_properties(spec: InferenceServiceSpec, target: Target) -> Iterator[Problem]:
    hints = spec.hints.dump().keys()
    for block, key, value in _entries(spec.properties):
        path = path_of(("spec", "properties", block, key) if key else ("spec", "properties", block))
        message = check_block(block, target)
        if message is None and key:
            message = check_property(block, key, value) or _refuse_for_multi(block, key, target)
            message = message or check_beside_hints(key, hints)
            if message is None and key == "NUM_STREAMS" and "PERFORMANCE_HINT" in spec.properties[block]:
                message = STREAMS_IN_BLOCK
        if message:
            yield Problem(path, message)
    for block, key, _ in _entries(spec.unchecked_properties):
        path = path_of(
            ("spec", "uncheckedProperties", block, key) if key else ("spec", "uncheckedProperties", block)
        )
        message = check_block(block, target) or (check_unchecked(block, key) if key else None)
        if message:
            yield Problem(path, message)


def _entries(blocks: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str | None, Any]]:
    """What there is to check: an entry for each property, or one without a key for a block that is wrong by itself."""
    for block, values in blocks.items():
        if block not in BLOCKS or not values:
            yield block, None, None
        else:
            for key, value in values.items():
                yield block, key, value


def check_block(block: str, target: Target) -> str | None:
    """Whether a block of properties is for a device that the target names, else what to write."""
    if block == "MULTI":
        return "MULTI is configured by AUTO's properties; write AUTO"
    if block not in BLOCKS:
        kind = block.upper().partition(".")[0]
        close = [kind] if kind in BLOCKS else get_close_matches(kind, BLOCKS, n=1)
        return f"no such block of properties; write one of {', '.join(BLOCKS)}" + (
            f": did you mean {close[0]}?" if close else ""
        )
    if block in target.property_blocks:
        return None
    return f"targetDevice {target} names no {block}; remove the block, or name {block} in targetDevice"


def _refuse_for_multi(block: str, key: str, target: Target) -> str | None:
    if block == "AUTO" and target.mode == "MULTI" and lookup("MULTI", key) is None:
        return "a property of AUTO that MULTI doesn't have; remove it"
    return None


def _check_affinity(spec: InferenceServiceSpec, target: Target) -> Iterator[Problem]:
    if spec.operator_affinity and target.mode != "HETERO":
        yield Problem("spec.operatorAffinity", ONLY_HETERO)
        return
    listed = {str(device.canonical) for device in target.devices}
    devices: set[str] = set()
    placed: dict[tuple[str, str], str] = {}
    for i, affinity in enumerate(spec.operator_affinity):
        path = f"spec.operatorAffinity[{i}]"
        canonical = "GPU.0" if affinity.device == "GPU" else affinity.device
        if canonical not in listed:
            names = ", ".join(str(device) for device in target.devices)
            yield Problem(f"{path}.device", f"{quoted(affinity.device)} {NOT_LISTED}; write one of {names}")
        elif canonical in devices:
            yield Problem(
                f"{path}.device", f"{quoted(affinity.device)} is named twice; put its operators together"
            )
        devices.add(canonical)
        if not affinity.types and not affinity.names:
            yield Problem(path, NOTHING_PLACED)
        for field, operators in (("types", affinity.types), ("names", affinity.names)):
            for j, operator in enumerate(operators):
                here = f"{path}.{field}[{j}]"
                before = placed.setdefault((field, operator), here)
                if before != here:
                    yield Problem(here, f"{quoted(operator)} is named twice, at {before} too; name it once")


# --- the same in CEL

_TARGET = "self.targetDevice"
_ANY_NAMED = f"{_TARGET}.matches('(^|[:,])[CGN]PU')"


def _named(kind: str) -> str:
    return f"{_TARGET}.matches('(^|[:,]){kind}')"


def _means(block: str) -> str:
    """CEL: whether properties of this block mean something to the target."""
    if block in KINDS:
        return f"({_named(block)} || !{_ANY_NAMED} && !{_TARGET}.matches('-{block}(,|$)'))"
    return f"{_TARGET}.matches('^{'(AUTO|MULTI)' if block == 'AUTO' else block}')"


def _keys(block: str) -> tuple[str, ...]:
    return tuple(json_schema(block)["properties"])


def _block_rules() -> Iterator[CelRule]:
    for field in ("properties", "uncheckedProperties"):
        for block in BLOCKS:
            yield CelRule(
                "spec",
                f"!has(self.{field}) || !has(self.{field}.{block}) || {_means(block)}",
                f"'targetDevice ' + {_TARGET} + ' names no {block}; remove the block, or name {block} in targetDevice'",
                f".{field}.{block}",
                computed=True,
            )
    for block in BLOCKS:
        known = ", ".join(f"'{key}'" for key in _keys(block))
        yield CelRule(
            f"spec.uncheckedProperties.{block}",
            f"[{known}].all(k, !(k in self))",
            f"holds a property that vinoserve knows; write it under spec.properties.{block}",
        )
        yield CelRule(
            f"spec.uncheckedProperties.{block}",
            f"[{', '.join(repr(key) for key in _UNSETTABLE)}].all(k, !(k in self))",
            "holds a property that vinoserve sets or OpenVINO only reports; remove it",
        )
    for key in _keys("AUTO"):
        if lookup("MULTI", key) is None:
            yield CelRule(
                "spec",
                f"!has(self.properties) || !has(self.properties.AUTO) || !has(self.properties.AUTO.{key})"
                f" || !{_TARGET}.startsWith('MULTI')",
                "a property of AUTO that MULTI doesn't have; remove it",
                f".properties.AUTO.{key}",
            )


def _twice_rules() -> Iterator[CelRule]:
    hints = [str(field.alias) for field in Hints.model_fields.values()]
    for block in BLOCKS:
        for key in _keys(block):
            for hint in hints:
                message = check_beside_hints(key, {hint})
                if message:
                    yield CelRule(
                        "spec",
                        f"!has(self.hints) || !has(self.hints.{hint}) || !has(self.properties)"
                        f" || !has(self.properties.{block}) || !has(self.properties.{block}.{key})",
                        message,
                        f".properties.{block}.{key}",
                    )
        if {"NUM_STREAMS", "PERFORMANCE_HINT"} <= set(_keys(block)):
            yield CelRule(
                f"spec.properties.{block}",
                "!has(self.NUM_STREAMS) || !has(self.PERFORMANCE_HINT)",
                STREAMS_IN_BLOCK,
                ".NUM_STREAMS",
            )


def _hint_rules() -> Iterator[CelRule]:
    for kind in KINDS:
        for hint, values in (("inferencePrecision", PRECISIONS), ("numStreams", ("AUTO", "NUMA"))):
            bad = [value for value in values if check_property(kind, HINTED[hint], value)]
            good = [value for value in values if value not in bad]
            if bad:
                yield CelRule(
                    "spec",
                    f"!has(self.hints) || !has(self.hints.{hint}) || !(string(self.hints.{hint}) in {bad})"
                    f" || !{_named(kind)}",
                    f"targetDevice names {kind}, which takes {', '.join(good)}",
                    f".hints.{hint}",
                )


_UNSETTABLE = sorted({spec.key for spec in CATALOGUE if not spec.settable})
_LISTED = f"{_TARGET}.substring(7).split(',').map(d, d == 'GPU' ? 'GPU.0' : d)"
# ",GPU.0,CPU," of HETERO:GPU,CPU. Searching it for each name costs less than comparing all names with all names.
_CANONICAL = "(',' + self.substring(self.indexOf(':') + 1) + ',').replace('-', '').replace('GPU,', 'GPU.0,')"
_IS_TARGET = f"self.matches({cel_text(TARGET_PATTERN)})"
_NOT_A_TARGET = (
    "self.matches('\\\\s') ? 'a device has no white space in it; remove it' : 'not a device: ' + self + '; ' + ("
    f"self.upperAscii().matches({cel_text(TARGET_PATTERN)}) ? 'device names are upper case: ' + self.upperAscii()"
    " : self.matches('^(CPU|NPU)[.:_-]?[0-9]+$') ? 'there is one of it, without an index: ' + self.substring(0, 3)"
    " : self.matches('^GPU[:_-]?[0-9]{1,2}$') ? 'the index follows a dot: GPU.' + self.substring(self.matches('^GPU[0-9]') ? 3 : 4)"
    " : self.matches('^[CGN]PU[0-9.]*,') ? 'a list of devices needs a mode before it: AUTO:' + self"
    " : 'write CPU, GPU, GPU.1, NPU, AUTO, AUTO:GPU,CPU, MULTI:GPU,CPU, HETERO:GPU,CPU or BATCH:GPU(4)')"
)

CEL = (
    CelRule("spec.targetDevice", _IS_TARGET, _NOT_A_TARGET, computed=True),
    CelRule(
        "spec.targetDevice",
        f"!{_IS_TARGET} || [{_CANONICAL}].all(l, l.split(',').all(d, d == ''"
        " || l.indexOf(',' + d + ',') == l.lastIndexOf(',' + d + ',')))",
        "a device is named twice (GPU is GPU.0); name each once",
    ),
    CelRule(
        "spec.targetDevice",
        "!self.startsWith('AUTO:') || self.matches('[:,][CGN]PU')"
        " || !(self.matches('-CPU') && self.matches('-NPU') && self.matches('-GPU(,|$)'))",
        "all devices are excluded; leave at least one of CPU, GPU and NPU",
    ),
    CelRule(
        "spec.hints", "!has(self.numStreams) || !has(self.performanceMode)", STREAMS_BESIDE, ".numStreams"
    ),
    CelRule(
        "spec",
        "!has(self.hints) || !has(self.hints.performanceMode) || self.hints.performanceMode != 'CUMULATIVE_THROUGHPUT'"
        f" || {_TARGET}.matches('^(AUTO|MULTI)')",
        CUMULATIVE,
        ".hints.performanceMode",
    ),
    CelRule(
        "spec",
        f"!has(self.hints) || !has(self.hints.modelPriority) || {_means('GPU')} || {_means('NPU')}",
        PRIORITY,
        ".hints.modelPriority",
    ),
    *_hint_rules(),
    *_block_rules(),
    *_twice_rules(),
    CelRule(
        "spec",
        f"!has(self.operatorAffinity) || size(self.operatorAffinity) == 0 || {_TARGET}.startsWith('HETERO:')",
        ONLY_HETERO,
        ".operatorAffinity",
    ),
    CelRule(
        "spec",
        f"!has(self.operatorAffinity) || !{_TARGET}.startsWith('HETERO:')"
        f" || self.operatorAffinity.all(a, (a.device == 'GPU' ? 'GPU.0' : a.device) in {_LISTED})",
        f"a device in it {NOT_LISTED}; write one of those",
        ".operatorAffinity",
    ),
    CelRule(
        "spec.operatorAffinity[]",
        "has(self.types) && size(self.types) > 0 || has(self.names) && size(self.names) > 0",
        NOTHING_PLACED,
    ),
    CelRule(
        "spec",
        f"!{_TARGET}.matches('^BATCH|(^|[:,])NPU') || !has(self.model.inputs) || self.model.inputs.all(i,"
        f" (!has(i.shape) || i.shape.all(d, {fixed('d')}))"
        f" && (!has(i.client) || !has(i.client.shape) || i.client.shape.all(d, {fixed('d')}))"
        " && (!has(i.resize) || has(i.client) && (has(i.client.shape)"
        " || has(i.client.encoding) && i.client.encoding == 'image')))",
        f"'targetDevice ' + {_TARGET} + ' needs fixed sizes: write numbers into shape and client.shape (with resize, client.shape must be set), or buckets instead of shape'",
        ".model.inputs",
        computed=True,
    ),
)
