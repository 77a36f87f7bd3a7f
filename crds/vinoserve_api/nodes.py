"""Labels by which the node agent tells what accelerators a node has. Values are text of 63 characters at most."""

import re
from collections.abc import Iterable
from typing import Final

DOMAIN: Final = "vinoserve.dev/"

RENDER_GID_LABEL: Final = f"{DOMAIN}render-gid"
"""Group of the node's /dev/dri/renderD* and /dev/accel/accel*, such as `992`; of several groups `44.992`."""

GPU_COUNT_LABEL: Final = f"{DOMAIN}gpu.count"
GPU_DRIVER_LABEL: Final = f"{DOMAIN}gpu.driver"
"""Kernel driver: `xe`, `i915`; `i915.xe` where the node has GPUs of both."""
GPU_PCI_ID_LABEL: Final = f"{DOMAIN}gpu.pci-id"
"""PCI device id: `56c0`; `56a0.7d67` where the GPUs differ."""
GPU_MODEL_LABEL: Final = f"{DOMAIN}gpu.model"
"""`Flex-170`; left out where one of the GPUs is not known by name."""
GPU_MEMORY_LABEL: Final = f"{DOMAIN}gpu.memory-mib"
"""Of the GPU that has least, in MiB; left out where the kernel doesn't tell, or where it is the machine's memory."""
GPU_TILES_LABEL: Final = f"{DOMAIN}gpu.tiles"
"""Of the GPU that has fewest."""

NPU_COUNT_LABEL: Final = f"{DOMAIN}npu.count"
NPU_DRIVER_LABEL: Final = f"{DOMAIN}npu.driver"
NPU_PCI_ID_LABEL: Final = f"{DOMAIN}npu.pci-id"
NPU_MODEL_LABEL: Final = f"{DOMAIN}npu.model"

NODE_LABELS: Final = frozenset(
    {
        RENDER_GID_LABEL,
        GPU_COUNT_LABEL,
        GPU_DRIVER_LABEL,
        GPU_PCI_ID_LABEL,
        GPU_MODEL_LABEL,
        GPU_MEMORY_LABEL,
        GPU_TILES_LABEL,
        NPU_COUNT_LABEL,
        NPU_DRIVER_LABEL,
        NPU_PCI_ID_LABEL,
        NPU_MODEL_LABEL,
    }
)

_SEPARATOR: Final = "."  # a label's value has no comma, and names have hyphens and underscores
_LONGEST: Final = 63
_GREATEST_GID: Final = 2**32 - 2


def join_values(values: Iterable[object]) -> str | None:
    """One label's value that says all of them, each once, in order; None where there are none or where they don't fit."""
    parts = sorted({re.sub(r"[^A-Za-z0-9_-]+", "-", str(value)).strip("-_") for value in values} - {""})
    text = _SEPARATOR.join(parts)
    return text if 0 < len(text) <= _LONGEST else None


def read_values(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(_SEPARATOR) if part)


def join_gids(gids: Iterable[int]) -> str | None:
    return _SEPARATOR.join(str(gid) for gid in sorted(set(gids))) or None


def read_gids(text: str) -> tuple[int, ...]:
    """The gids of a label; what is no gid, or root's, is passed over: an admin may have written the label by hand."""
    parts = (part for part in read_values(text) if part.isascii() and part.isdigit())
    return tuple(gid for gid in map(int, parts) if 0 < gid <= _GREATEST_GID)
