"""The volume that a model is fetched to: how much may be in it (`spec.cache.model.sizeLimit`), and how much is.

An emptyDir's limit is no file system's: the kernel lets everything in, `statvfs` shows the node's disk, and some time later the
kubelet evicts the pod. So whoever writes there asks first, whether that is for good or for a while.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

BLOCK_BYTES: Final = 4096
"""Of the file systems that nodes have; the kubelet counts blocks. A folder takes one."""
_OWN_BYTES: Final = 4 * BLOCK_BYTES
"""Folders and notes that we make on the way."""


def blocks_of(size: int) -> int:
    """Bytes that a file of `size` bytes takes."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


@dataclass(frozen=True)
class ModelVolume:
    """All that is in `folder`, which may take `size_limit` bytes."""

    folder: Path
    size_limit: int | None = None

    def measure(self, without: Path | None = None) -> int:
        """Bytes that are taken now, by all but the folder `without`; 0 where there is no limit to keep."""
        if self.size_limit is None:
            return 0
        taken = 0
        for place, folders, names in os.walk(self.folder):
            at = Path(place)
            folders[:] = [name for name in folders if at / name != without]
            taken += BLOCK_BYTES + sum(blocks_of((at / name).lstat().st_size) for name in names)
        return taken

    def fits(self, size: int) -> bool:
        return self.size_limit is None or size + _OWN_BYTES <= self.size_limit

    def need(self, size: int, what: str, *, is_least: bool = False) -> None:
        """Where `size` bytes, with what is there already, don't fit, `what` can't be done. Raises DiskFull.

        `is_least`: how much more it will be, nobody knows yet.
        """
        if self.fits(size):
            return
        needed = size + _OWN_BYTES
        raise StartupError(
            FailureReason.DISK_FULL,
            f"{what} needs {'more than ' if is_least else ''}{needed} bytes in {self.folder}, and "
            f"spec.cache.model.sizeLimit is {self.size_limit} bytes: "
            + ("raise it" if is_least else f"write {-(-needed // 2**20)}Mi or more"),
        )
