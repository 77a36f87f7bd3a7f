"""What a user probably meant by a `targetDevice` outside the grammar. Suggestions are only offered where they parse."""

import re
from difflib import get_close_matches
from typing import Final

_MODES: Final = ("AUTO", "MULTI", "HETERO", "BATCH")
_WORDS: Final = ("CPU", "GPU", "NPU", *_MODES)
_LISTED: Final = {"MULTI": "MULTI:GPU,CPU", "HETERO": "HETERO:GPU,CPU", "BATCH": "BATCH:GPU"}

#: Devices that OpenVINO once had, or never, and what there is to say about them.
_FOREIGN: Final = {
    "MYRIAD": "MYRIAD (Neural Compute Stick) left OpenVINO with 2023.0; it runs on CPU, GPU and NPU",
    "HDDL": "HDDL left OpenVINO with 2023.0; it runs on CPU, GPU and NPU",
    "FPGA": "FPGA left OpenVINO with 2020.4; it runs on CPU, GPU and NPU",
    "GNA": "GNA left OpenVINO with 2024.0; what followed it is the NPU",
    "VPUX": "VPUX is called NPU today",
    "VPU": "VPU is called NPU today",
    "KEEMBAY": "KEEMBAY left OpenVINO; what followed it is the NPU",
    "CUDA": "OpenVINO runs on Intel's CPU, GPU and NPU; there is no CUDA device",
    "NVIDIA": "OpenVINO runs on Intel's CPU, GPU and NPU; there is no NVIDIA device",
    "ROCM": "OpenVINO runs on Intel's CPU, GPU and NPU; there is no ROCm device",
    "TPU": "OpenVINO runs on CPU, GPU and NPU; there is no TPU device",
    "TEMPLATE": "TEMPLATE is a plugin for plugin writers; models run on CPU, GPU and NPU",
    "PROXY": "PROXY is internal to OpenVINO; models run on CPU, GPU and NPU",
}
_SUCCESSORS: Final = {"GNA": "NPU", "VPUX": "NPU", "VPU": "NPU", "KEEMBAY": "NPU"}
_NICKNAMES: Final = {
    "XPU": "GPU", "IGPU": "GPU.0", "DGPU": "GPU.1", "INTELGPU": "GPU", "INTELCPU": "CPU", "INTELNPU": "NPU", "ARC": "GPU",
    "GRAPHICS": "GPU", "PROCESSOR": "CPU", "X86": "CPU", "HYBRID": "HETERO", "HETEROGENEOUS": "HETERO", "AUTOMATIC": "AUTO",
    "ANY": "AUTO", "DEFAULT": "AUTO", "AUTOBATCH": "BATCH",
}  # fmt: skip


def explain(text: str) -> str | None:
    """The rule that `text` breaks, as half a sentence that a suggestion can follow; None where nothing special is known."""
    if not text.strip():
        return "targetDevice is empty; write a device or a mode"
    if re.search(r"\s", text):
        return "white space has no place in it"
    if not text.isascii():
        return "device names are plain ASCII"
    words = re.findall(r"[A-Za-z]+", text)
    for word in words:
        if word.upper() in _FOREIGN:
            return _FOREIGN[word.upper()]
    if any(word.upper() in _WORDS and word != word.upper() for word in words):
        return "device names are upper case"
    for pattern, why in _RULES:
        if re.search(pattern, text):
            return why
    return None


_RULES: Final = tuple(
    (re.compile(pattern), why)
    for pattern, why in (
        (r"[;|+&/\\]", "devices are separated by a comma"),
        (r"^(MULTI|HETERO|BATCH):?$", "this mode needs its devices"),
        (r"^AUTO:$", "a colon announces devices"),
        (r"^(CPU|GPU|NPU)[^:(]*,", "a list of devices needs a mode before it (AUTO, MULTI or HETERO)"),
        (r"[:,-](AUTO|MULTI|HETERO|BATCH)\b", "modes don't nest"),
        (r"[!~^]", "'-' goes before a device that AUTO is not to use"),
        (r"^-|^(MULTI|HETERO|BATCH):.*-", "only AUTO can exclude devices with '-'"),
        (r"^BATCH:[^,]*,", "BATCH takes one device"),
        (r"^BATCH:[A-Z0-9.]+\(0*\)", "a batch has at least one request in it"),
        (r"^BATCH:[A-Z0-9.]+\([0-9]{5,}\)", "a batch has at most 9999 requests in it"),
        (r"^BATCH:[A-Z0-9.]+[:=x]", "the batch size follows the device in brackets"),
        (r"CPU[.:_-][0-9]", "there is one CPU device, without an index"),
        (r"NPU[.:_-][0-9]", "there is one NPU device, without an index"),
        (r"^BATCH:([A-Z0-9.]+\(|[A-Z]+[0-9])", "the batch size follows the device in brackets"),
        (r"^(?!BATCH).*\(", "only BATCH takes a number in brackets"),
        (r"CPU[0-9]", "there is one CPU device, without an index"),
        (r"NPU[0-9]", "there is one NPU device, without an index"),
        (r"GPU(\.[0-9]+)?\.0[0-9]", "an index has no leading zeros"),
        (r"GPU(\.[0-9]+)?\.[0-9]{3,}", "an index is at most 99"),
        (r"GPU\.[0-9]+\.[0-9]+\.", "a GPU is named by an index and perhaps a tile"),
        (r"GPU(\.[0-9]+)?\.(?![0-9])", "a dot announces the GPU's index"),
        (r"GPU[:_#@\[-]?[0-9]", "a GPU's index follows a dot"),
        (r"-(,|$)", "'-' goes before the device that AUTO is not to use"),
        (r",(,|$)|:,", "a comma stands between two devices"),
        (r"^(AUTO|MULTI|HETERO|BATCH)[^:]", "a colon stands between the mode and its devices"),
        (r"^(AUTO|MULTI|HETERO):[^:]*:", "devices are separated by a comma"),
    )
)


def repair(text: str) -> str | None:
    """A guess at what was meant. It need not be within the grammar: the caller tries it."""
    upper = text.upper().strip().strip("'\"")
    batch = re.fullmatch(
        r"(?:AUTO_?)?BATCH[^A-Z0-9]*([A-Z]+(?:\.\d+){0,2})(?:[^0-9A-Z.]*0*([1-9]\d{0,3})\W*)?", upper
    )
    if batch:
        return f"BATCH:{_token(batch[1])}" + (f"({batch[2]})" if batch[2] else "")
    upper = re.sub(r"\([^)]*\)?", "", upper)  # MULTI:GPU(4) was a number of requests once
    upper = re.sub(r"[!~^](?=[A-Z])", "-", upper)
    upper = re.sub(r"(?<=[A-Z])[-_ ](?=[GCN]PU)", "", upper) if upper.startswith("INTEL") else upper
    tokens = [_token(t) for t in re.findall(r"-?[A-Z]+(?:[.:_#@\[-]?\d+\]?(?:[.:_]\d+)?)?", upper)]
    mode = tokens[0] if tokens and tokens[0] in _MODES else None
    if None in tokens:
        return None
    devices = list(dict.fromkeys(t for t in tokens if t and t.lstrip("-") not in _MODES))
    if mode is None and devices and (len(devices) > 1 or devices[0].startswith("-")):
        mode = "AUTO"
    if mode != "AUTO":
        devices = [d for d in devices if not d.startswith("-")]
    if {"GPU", "GPU.0"} <= set(devices):
        devices.remove("GPU.0")
    if not devices:
        return _LISTED.get(mode, mode) if mode else None
    if mode == "BATCH":
        return f"BATCH:{devices[0]}"
    return f"{mode}:{','.join(devices)}" if mode else devices[0]


def _token(raw: str) -> str | None:
    """One device or mode as the grammar writes it, or None where the word means nothing."""
    excluded, numbers = raw.startswith("-"), re.findall(r"\d+", raw)
    word = re.sub(r"[^A-Z]", "", raw)
    if word in _FOREIGN:
        known = _SUCCESSORS.get(word)
    else:
        known = _NICKNAMES.get(word) or next(iter(get_close_matches(word, _WORDS, n=1, cutoff=0.6)), None)
    if known is None:
        return None
    if known == "GPU" and numbers:
        known = ".".join(["GPU", *(str(int(n)) for n in numbers[:2])])
    return f"-{known}" if excluded else known
