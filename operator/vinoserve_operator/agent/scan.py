"""What Intel accelerators a machine has, from its /dev and /sys alone: no device is opened.

A file that isn't there, or can't be read, is a fact that isn't known: kernels differ, and devices come and go meanwhile.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vinoserve_operator.agent.models import GPUS, NPUS

_INTEL: Final = "0x8086"
_OPEN_TO_ALL: Final = stat.S_IROTH | stat.S_IWOTH
_OPEN_TO_GROUP: Final = stat.S_IRGRP | stat.S_IWGRP


@dataclass(frozen=True)
class Accelerator:
    """None is what the kernel doesn't say."""

    node: str
    """Below /dev, such as `dri/renderD128`."""
    address: str
    """Domain, bus, device and function, as lspci writes them."""
    pci_id: str
    """Of the device: four hexadecimal digits."""
    driver: str | None
    """The kernel's: `i915`, `xe`, `intel_vpu`."""
    model: str | None
    gid: int | None
    """The group that may open the node; None where anyone may, or root alone."""
    memory_bytes: int | None = None
    """A GPU's own, of all its tiles; None too where it uses the machine's."""
    tiles: int = 1


@dataclass(frozen=True)
class Hardware:
    """In the order of the nodes' numbers."""

    gpus: tuple[Accelerator, ...] = ()
    npus: tuple[Accelerator, ...] = ()


def scan(dev: Path, sys: Path) -> Hardware:
    """`dev` and `sys`: where the machine's /dev and /sys are."""
    return Hardware(tuple(_scan_gpus(dev, sys)), tuple(_scan_npus(dev, sys)))


def _scan_gpus(dev: Path, sys: Path) -> Iterator[Accelerator]:
    for card in _list(sys / "class/drm", "card"):
        device = card / "device"
        nodes = _list(device / "drm", "renderD")
        # Where a GPU is split by SR-IOV, Intel's device plugin offers its parts alone.
        if _read(device / "vendor") != _INTEL or not nodes or _read_number(device / "sriov_numvfs"):
            continue
        tiles = _list(device, "tile")
        parts = [_read_number(tile / "physical_vram_size_bytes") for tile in tiles]
        yield _describe(
            device,
            dev,
            f"dri/{nodes[0].name}",
            GPUS,
            # xe tells it by tile, Intel's own build of i915 by card; i915 as it is in Linux doesn't.
            memory_bytes=sum(part for part in parts if part) or _read_number(card / "lmem_total_bytes"),
            tiles=len(tiles) or len([*card.glob("gt/gt*/addr_range")]) or 1,
        )


def _scan_npus(dev: Path, sys: Path) -> Iterator[Accelerator]:
    for accel in _list(sys / "class/accel", "accel"):
        if _read(accel / "device/vendor") == _INTEL:
            yield _describe(accel / "device", dev, f"accel/{accel.name}", NPUS)


def _describe(
    device: Path,
    dev: Path,
    node: str,
    models: Mapping[str, str],
    *,
    memory_bytes: int | None = None,
    tiles: int = 1,
) -> Accelerator:
    pci_id = _read(device / "device").removeprefix("0x").lower()
    return Accelerator(
        node=node,
        address=device.resolve().name,
        pci_id=pci_id,
        driver=_read_link(device / "driver"),
        model=models.get(pci_id),
        gid=_read_gid(dev / node),
        memory_bytes=memory_bytes or None,
        tiles=tiles,
    )


def _list(folder: Path, prefix: str) -> list[Path]:
    """Entries named by the prefix and a number: `card0`, and not `card0-DP-1`."""
    found: list[tuple[int, Path]] = []
    with suppress(OSError):
        for entry in folder.iterdir():
            match = re.fullmatch(f"{prefix}([0-9]+)", entry.name)
            if match:
                found.append((int(match[1]), entry))
    return [entry for _, entry in sorted(found)]


def _read(file: Path) -> str:
    """Empty where it can't be read."""
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text().strip()
    return ""


def _read_number(file: Path) -> int | None:
    text = _read(file)
    return int(text) if text.isascii() and text.isdigit() else None


def _read_link(link: Path) -> str | None:
    with suppress(OSError):
        return link.readlink().name
    return None


def _read_gid(node: Path) -> int | None:
    with suppress(OSError):
        status = node.stat()
        if (
            status.st_mode & _OPEN_TO_ALL != _OPEN_TO_ALL
            and status.st_mode & _OPEN_TO_GROUP == _OPEN_TO_GROUP
        ):
            return status.st_gid or None
    return None
