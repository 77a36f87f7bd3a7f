"""Intel GPUs and NPUs that are only seen: device nodes and sysfs entries like real ones, in the cluster's mount namespace alone.

The nodes have the numbers that real ones have; no driver answers them, so opening one fails with ENXIO. The host's own
/dev/dri, /dev/accel, /sys/class/drm and /sys/class/accel are hidden.
"""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from tools.devcluster.record import Record
from tools.toolbox.programs import run

DRM_MAJOR = 226
FIRST_RENDER = 128
DEVICE_ID = "0x56c0"  # Intel Data Center GPU Flex 170
MEMORY = 16 * 2**30
ACCEL_MAJOR = 261
NPU_ID = "0x7d1d"  # the NPU of a Core Ultra (Meteor Lake)
#: the driver of a GPU -> the resource that a device plugin offers is gpu.intel.com/<driver>
DRIVERS = ("xe", "i915")


def create(record: Record, work: Path) -> None:
    """Cover /dev and /sys/class with copies that have the devices. Their nodes' group is gpu_gid (mode 660), else anyone may."""
    dev, sysclass = work / "dev", work / "class"
    cover(Path("/dev"), dev, without=("dri", "accel"))
    cover(Path("/sys/class"), sysclass, without=("drm", "accel"))
    if record.gpus:
        write_gpus(record.gpus, record.gpu_driver, record.gpu_gid, dev, sysclass)
    if record.npus:
        write_npus(record.npus, record.gpu_gid, dev, sysclass)
    run(["mount", "--rbind", dev, "/dev"])
    run(["mount", "--rbind", sysclass, "/sys/class"])


def cover(source: Path, dest: Path, without: Collection[str]) -> None:
    """A tmpfs at `dest` that shows the entries of `source`."""
    dest.mkdir(parents=True)
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dest])
    for entry in sorted(source.iterdir()):
        copy = dest / entry.name
        if entry.name in without:
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
            make_node(dev / "dri" / name, DRM_MAJOR, minor, gid, is_open=gid is None and kind == "render")
            (dev / "dri/by-path" / f"pci-{address}-{kind}").symlink_to(f"../{name}")
        write_sysfs(index, driver, address, sysclass / "drm")


def write_npus(count: int, gid: int | None, dev: Path, sysclass: Path) -> None:
    (dev / "accel").mkdir()
    accel = sysclass / "accel"
    accel.mkdir()
    for index in range(count):
        name = f"accel{index}"
        make_node(dev / "accel" / name, ACCEL_MAJOR, index, gid, is_open=gid is None)
        device = write_device(accel, f"0000:00:{0xB + index:02x}.0", NPU_ID, "0x120000", "intel_vpu")
        write_class(accel, device, "accel", name, f"{ACCEL_MAJOR}:{index}")


def make_node(node: Path, major: int, minor: int, gid: int | None, *, is_open: bool) -> None:
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    node.chmod(0o666 if is_open else 0o660)
    if gid is not None:
        shutil.chown(node, group=gid)


def write_sysfs(index: int, driver: str, address: str, drm: Path) -> None:
    """What discovery reads: vendor, device, driver, memory where the driver tells of it, and the numbers of the nodes."""
    device = write_device(drm, address, DEVICE_ID, "0x030000", driver)
    for name, minor, _ in make_nodes(index):
        write_class(drm, device, "drm", name, f"{DRM_MAJOR}:{minor}")
    if driver == "xe":
        (device / "tile0/gt0").mkdir(parents=True)
        (device / "tile0/physical_vram_size_bytes").write_text(f"{MEMORY}\n")
    else:
        (device / f"drm/card{index}/gt/gt0").mkdir(parents=True)
        (device / f"drm/card{index}/lmem_total_bytes").write_text(f"{MEMORY}\n")


def write_device(folder: Path, address: str, id_: str, class_: str, driver: str) -> Path:
    """A PCI device of Intel's, below a class' folder: /sys/devices is the machine's own."""
    device = folder / ".devices/pci0000:00" / address
    device.mkdir(parents=True)
    values = {
        "vendor": "0x8086",
        "device": id_,
        "class": class_,
        "numa_node": "0",
        "sriov_numvfs": "0",
        "sriov_totalvfs": "0",
    }
    for name, value in values.items():
        (device / name).write_text(f"{value}\n")
    (device / "driver").symlink_to(f"../../../../../../bus/pci/drivers/{driver}")
    return device


def write_class(folder: Path, device: Path, class_: str, name: str, number: str) -> None:
    node = device / class_ / name
    node.mkdir(parents=True)
    (node / "dev").write_text(f"{number}\n")
    (node / "device").symlink_to("../..")
    (folder / name).symlink_to(node.relative_to(folder))


def make_nodes(index: int) -> Iterator[tuple[str, int, str]]:
    """(node, minor number, kind) of a GPU: `card0`, `renderD128`."""
    yield f"card{index}", index, "card"
    yield f"renderD{FIRST_RENDER + index}", FIRST_RENDER + index, "render"
