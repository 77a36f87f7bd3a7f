"""The clients, and the limit of HTTP/2: wrk, h2load and nghttpd from Debian's packages, openloop/ compiled. Made once."""

import os
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.build import Go
from tools.devcluster.golang import VERSION
from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.debian import unpack
from tools.toolbox.steps import Step, make_missing

_OPENLOOP = Path(__file__).parent / "openloop"
_DEBIAN_PACKAGES = [
    "wrk",
    "libluajit-5.1-2",
    "libluajit2-5.1-2",
    "nghttp2-client",
    "nghttp2-server",
    "libnghttp2-14",
    "libev4",
    "libjansson4",
    "libjemalloc2",
    "libssl3",
]


@dataclass(frozen=True)
class Programs:
    """One build of the clients."""

    root: Path

    @property
    def debian(self) -> Path:
        return self.root / "debian"

    @property
    def wrk(self) -> Path:
        return self.debian / "usr/bin/wrk"

    @property
    def h2load(self) -> Path:
        return self.debian / "usr/bin/h2load"

    @property
    def nghttpd(self) -> Path:
        return self.debian / "usr/sbin/nghttpd"

    @property
    def openloop(self) -> Path:
        return self.root / "openloop"

    @property
    def env(self) -> dict[str, str]:
        """For the Debian programs: their libraries are where they were unpacked."""
        return {**os.environ, "LD_LIBRARY_PATH": str(self.debian / "usr/lib/x86_64-linux-gnu")}


def build_programs() -> Programs:
    key = make_key(_OPENLOOP, _DEBIAN_PACKAGES, VERSION)
    programs = Programs(cache_root() / "benchmarks/programs" / key)

    def build(dest: Path) -> None:
        Go().build(_OPENLOOP, ".", dest, "")

    make_missing(
        [
            Step(
                programs.debian,
                "wrk, h2load and nghttpd from Debian",
                8,
                lambda dest: unpack(_DEBIAN_PACKAGES, dest),
            ),
            Step(programs.openloop, "openloop", 40, build),
        ]
    )
    return programs
