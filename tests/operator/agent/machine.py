"""A machine's /dev and /sys as Linux lays them out: devices below /sys/devices, links to them in /sys/class."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Device nodes are plain files here: making real ones takes rights that a test need not have."""

    root: Path

    @property
    def dev(self) -> Path:
        return self.root / "dev"

    @property
    def sys(self) -> Path:
        return self.root / "sys"

    def add_gpu(
        self,
        index: int,
        pci_id: str = "0x56c0",
        driver: str = "xe",
        vendor: str = "0x8086",
        mode: int = 0o660,
    ) -> tuple[Path, Path]:
        """The device's folder, and its card's."""
        device = self._add_device(f"0000:{3 + index:02x}:00.0", pci_id, driver, vendor)
        for name in (f"card{index}", f"renderD{128 + index}"):
            self._add_class_member(device, "drm", name)
            self._add_node(f"dri/{name}", mode)
        # connectors and the DRM version are beside the cards
        self._add_class_member(device, "drm", f"card{index}-DP-1", parent=f"card{index}")
        (self.sys / "class/drm/version").write_text("drm 1.1.0 20060810\n")
        return device, device / f"drm/card{index}"

    def add_npu(self, index: int = 0, pci_id: str = "0x7d1d", mode: int = 0o660) -> Path:
        device = self._add_device(f"0000:00:{0xB + index:02x}.0", pci_id, "intel_vpu", "0x8086")
        self._add_class_member(device, "accel", f"accel{index}")
        self._add_node(f"accel/accel{index}", mode)
        return device

    def _add_device(self, address: str, pci_id: str, driver: str, vendor: str) -> Path:
        device = self.sys / "devices/pci0000:00" / address
        device.mkdir(parents=True)
        for name, value in (("vendor", vendor), ("device", pci_id), ("sriov_numvfs", "0")):
            (device / name).write_text(f"{value}\n")
        drivers = self.sys / "bus/pci/drivers" / driver
        drivers.mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(os.path.relpath(drivers, device))
        return device

    def _add_class_member(self, device: Path, class_: str, name: str, parent: str = "") -> None:
        member = device / class_ / parent / name
        member.mkdir(parents=True)
        (member / "device").symlink_to("../.." if not parent else "..")
        folder = self.sys / "class" / class_
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.relpath(member, folder))

    def _add_node(self, name: str, mode: int) -> None:
        node = self.dev / name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()
        node.chmod(mode)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")
