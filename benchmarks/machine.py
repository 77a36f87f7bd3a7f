"""The machine and the versions that figures belong to; nothing that tells whose machine it is."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.environments import find_environment, find_packages
from benchmarks.programs import Programs
from benchmarks.results import Machine
from tools.toolbox.programs import run

_PEERS = {
    "Triton": ("triton", "nvidia_pytriton"),
    "KServe": ("kserve", "kserve"),
    "MLServer": ("mlserver", "mlserver"),
}


def split_cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The servers' cores and the clients': all for both where there are fewer than four, else half and half."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 4:
        return tuple(usable), tuple(usable)
    middle = len(usable) // 2
    return tuple(usable[:middle]), tuple(usable[middle:])


def describe_machine(server_cores: Sequence[int], client_cores: Sequence[int]) -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=read_processor(Path("/proc/cpuinfo").read_text()),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory / 2**30),
        system=f"{platform.freedesktop_os_release().get('PRETTY_NAME', 'Linux')}, Linux {platform.release().split('-')[0]}",
        python=platform.python_version(),
        server_cores=",".join(map(str, server_cores)),
        client_cores=",".join(map(str, client_cores)),
    )


def read_processor(cpuinfo: str) -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def find_versions(programs: Programs) -> dict[str, str]:
    """Of vinoserve, OpenVINO, the peers that are installed, and the clients."""
    found = {"vinoserve": version("vinoserve"), "OpenVINO": version("openvino")}
    for peer, (environment, package) in _PEERS.items():
        packages = find_packages(find_environment(environment))
        for metadata in packages.glob(f"{package}-*.dist-info"):
            label = "nvidia-pytriton (Triton)" if peer == "Triton" else peer
            found[label] = metadata.name.removeprefix(f"{package}-").removesuffix(".dist-info")
    h2load = run([programs.h2load, "--version"], env=programs.env).stdout
    found["h2load"] = h2load.rpartition("/")[2].strip()
    found["wrk"] = read_wrk_version(programs)
    return found


def read_wrk_version(programs: Programs) -> str:
    """wrk prints it before its help, and calls that a failure."""
    said = subprocess.run([programs.wrk, "-v"], env=programs.env, capture_output=True, text=True, check=False)
    found = re.search(r"wrk (?:debian/)?([\w.+-]+)", said.stdout + said.stderr)
    return found[1] if found else "unknown"
