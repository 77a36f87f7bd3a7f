"""Intel GPUs that are only seen: device nodes and sysfs entries like real ones, in the cluster's mount namespace alone.

The nodes have the numbers that real ones have; no driver answers them, so opening one fails with ENXIO. The host's own
/dev/dri and /sys/class/drm are hidden.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from tools.toolbox.programs import run

DRM_MAJOR = 226
FIRST_RENDER = 128
DEVICE_ID = "0x56c0"  # Intel Data Center GPU Flex 170
#: the driver of a GPU -> the resource that a device plugin offers is gpu.intel.com/<driver>
DRIVERS = ("xe", "i915")


def create(count: int, driver: str, gid: int | None, work: Path) -> None:
    """Cover /dev and /sys/class with copies that have `count` GPUs. `gid`: the nodes' group (mode 660), else anyone's."""
    dev, sysclass = work / "dev", work / "class"
    cover(Path("/dev"), dev, without="dri")
    cover(Path("/sys/class"), sysclass, without="drm")
    write_gpus(count, driver, gid, dev, sysclass)
    run(["mount", "--rbind", dev, "/dev"])
    run(["mount", "--rbind", sysclass, "/sys/class"])


def cover(source: Path, dest: Path, without: str) -> None:
    """A tmpfs at `dest` that shows the entries of `source`."""
    dest.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dest])
    for entry in sorted(source.iterdir()):
        copy = dest / entry.name
        if entry.name == without:
            continue
        if entry.is_symlink():
            copy.symlink_to(entry.readlink())
        elif entry.is_dir():
            copy.mkdir()
            run(["mount", "--rbind", entry, copy])
        else:
            copy.touch()
            run(["mount", "--bind", entry, copy])


def write_gpus(count: int, driver: str, gid: int | None, dev: Path, sysclass: Path) -> None:
    (dev / "dri/by-path").mkdir(parents=True)
    (sysclass / "drm").mkdir()
    (sysclass / "drm/version").write_text("drm 1.1.0 20060810\n")
    for index in range(count):
        address = f"0000:{3 + index:02x}:00.0"
        for name, minor, kind in make_nodes(index):
            node = dev / "dri" / name
            os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(DRM_MAJOR, minor))
            node.chmod(0o666 if gid is None and kind == "render" else 0o660)
            if gid is not None:
                shutil.chown(node, group=gid)
            (dev / "dri/by-path" / f"pci-{address}-{kind}").symlink_to(f"../{name}")
        write_sysfs(index, driver, address, sysclass / "drm")


def write_sysfs(index: int, driver: str, address: str, drm: Path) -> None:
    """What discovery reads: vendor, device, driver and the numbers of the nodes."""
    device = drm / ".devices/pci0000:00" / address
    device.mkdir(parents=True)
    values = {
        "vendor": "0x8086",
        "device": DEVICE_ID,
        "class": "0x030000",
        "numa_node": "0",
        "sriov_numvfs": "0",
        "sriov_totalvfs": "0",
    }
    for name, value in values.items():
        (device / name).write_text(f"{value}\n")
    (device / "driver").symlink_to(f"../../../../../../bus/pci/drivers/{driver}")
    for name, minor, _ in make_nodes(index):
        node = device / "drm" / name
        node.mkdir(parents=True)
        (node / "dev").write_text(f"{DRM_MAJOR}:{minor}\n")
        (node / "device").symlink_to("../..")
        (drm / name).symlink_to(node.relative_to(drm))


def make_nodes(index: int) -> Iterator[tuple[str, int, str]]:
    """(node, minor number, kind) of a GPU: `card0`, `renderD128`."""
    yield f"card{index}", index, "card"
    yield f"renderD{FIRST_RENDER + index}", FIRST_RENDER + index, "render"
