"""Hardware as the labels of its node."""

from collections.abc import Sequence

from vinoserve_api.nodes import (
    GPU_COUNT_LABEL,
    GPU_DRIVER_LABEL,
    GPU_MEMORY_LABEL,
    GPU_MODEL_LABEL,
    GPU_PCI_ID_LABEL,
    GPU_TILES_LABEL,
    NPU_COUNT_LABEL,
    NPU_DRIVER_LABEL,
    NPU_MODEL_LABEL,
    NPU_PCI_ID_LABEL,
    RENDER_GID_LABEL,
    join_gids,
    join_values,
)
from vinoserve_operator.agent.scan import Accelerator, Hardware

_MIB = 2**20


def make_labels(hardware: Hardware) -> dict[str, str]:
    """Those that say something; a node without accelerators has none."""
    gpus, npus = hardware.gpus, hardware.npus
    gids = [device.gid for device in (*gpus, *npus) if device.gid is not None]
    memories = [gpu.memory_bytes for gpu in gpus]
    labels = {
        RENDER_GID_LABEL: join_gids(gids),
        GPU_COUNT_LABEL: str(len(gpus)) if gpus else None,
        GPU_DRIVER_LABEL: _join_drivers(gpus),
        GPU_PCI_ID_LABEL: join_values(gpu.pci_id for gpu in gpus),
        GPU_MODEL_LABEL: _join_models(gpus),
        # a lesser one of them is what a pod may get
        GPU_MEMORY_LABEL: _show_memory(memories),
        GPU_TILES_LABEL: str(min(gpu.tiles for gpu in gpus)) if gpus else None,
        NPU_COUNT_LABEL: str(len(npus)) if npus else None,
        NPU_DRIVER_LABEL: _join_drivers(npus),
        NPU_PCI_ID_LABEL: join_values(npu.pci_id for npu in npus),
        NPU_MODEL_LABEL: _join_models(npus),
    }
    return {name: value for name, value in labels.items() if value}


def _join_drivers(devices: Sequence[Accelerator]) -> str | None:
    return join_values(device.driver for device in devices if device.driver)


def _join_models(devices: Sequence[Accelerator]) -> str | None:
    """None where one isn't known: the label shall not say less than there is."""
    models = [device.model for device in devices]
    return None if None in models else join_values(models)


def _show_memory(memories: Sequence[int | None]) -> str | None:
    known = [memory for memory in memories if memory]
    return str(min(known) // _MIB) if known and len(known) == len(memories) else None
