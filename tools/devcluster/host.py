"""Whether this machine can have a cluster."""

import os
import platform
import subprocess

from tools.devcluster import cgroups
from tools.toolbox.errors import ToolError
from tools.toolbox.programs import need


def check_host() -> None:
    """Whether this machine can have a cluster; else why not, in one line."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ToolError(
            f"a cluster needs Linux on x86_64, this is {platform.system()} on {platform.machine()}"
        )
    if os.geteuid() != 0:
        raise ToolError("a cluster needs root (namespaces, mounts, cgroups): try again with sudo")
    need("unshare", "nsenter", "mount", "ip", "openssl")
    for what, command in (
        ("make namespaces", ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "true"]),
        ("mount", ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]),
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise ToolError(
                f"root may not {what} here: are you in a container? Run on the host, or with --privileged"
            )
    if not os.access(cgroups.ROOT, os.W_OK):
        raise ToolError(
            f"{cgroups.ROOT} is read-only here: are you in a container? Run on the host, or with --privileged"
        )
