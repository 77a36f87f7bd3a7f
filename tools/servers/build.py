"""Build the servers of the tests from pinned sources: two Go modules, a package of Node.js, two Debian packages unpacked."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.build import Go, read_pin
from tools.devcluster.golang import VERSION
from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.debian import unpack
from tools.toolbox.programs import need, run
from tools.toolbox.steps import Step, make_missing

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
AZURITE = HERE / "azurite"
S3 = "github.com/versity/versitygw"
GCS = "github.com/fsouza/fake-gcs-server"
DEBIAN_PACKAGES = [
    "docker-registry",
    "prometheus",
]  # static but for the C library: what they depend on is not needed


@dataclass(frozen=True)
class Servers:
    """One build of the pinned servers."""

    root: Path

    @property
    def versitygw(self) -> Path:
        return self.root / "bin/versitygw"

    @property
    def fake_gcs_server(self) -> Path:
        return self.root / "bin/fake-gcs-server"

    @property
    def azurite_blob(self) -> Path:
        """For `node`."""
        return self.root / "azurite/node_modules/azurite/dist/src/blob/main.js"

    @property
    def debian(self) -> Path:
        return self.root / "debian"

    @property
    def docker_registry(self) -> Path:
        return self.debian / "usr/bin/docker-registry"

    @property
    def prometheus(self) -> Path:
        return self.debian / "usr/bin/prometheus"

    @property
    def complete(self) -> Path:
        """There once every step is done."""
        return self.root / "complete"


def build_servers() -> Servers:
    """Make what is missing, one step after the other; where all is there, this takes no time and no network."""
    servers = Servers(cache_root() / "servers" / make_key(PROGRAMS, AZURITE, Path(__file__), VERSION))
    if not servers.complete.exists():
        need("apt-get", "dpkg-deb", "node", "npm")
        make_missing(make_steps(servers))
        servers.complete.touch()
    return servers


def make_steps(servers: Servers) -> list[Step]:
    go = Go()

    def program(dest: Path, seconds: int, module: str, package: str) -> Step:
        what = f"{dest.name} {read_pin(PROGRAMS, module)}"
        return Step(dest, what, seconds, lambda made: go.build(PROGRAMS, package, made, ""))

    return [
        Step(
            servers.debian,
            "docker-registry and prometheus from Debian",
            5,
            lambda made: unpack(DEBIAN_PACKAGES, made),
        ),
        Step(servers.root / "azurite", "azurite", 40, install_azurite),
        program(servers.versitygw, 90, S3, f"{S3}/cmd/versitygw"),
        program(servers.fake_gcs_server, 55, GCS, GCS),
    ]


def install_azurite(dest: Path) -> None:
    """What package-lock.json pins, each package checked by its hash; scripts of packages are not run."""
    dest.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy2(AZURITE / name, dest / name)
    run(
        ["npm", "ci", "--omit=dev", "--omit=optional", "--ignore-scripts"],
        cwd=dest,
        env={**os.environ, "NODE_ENV": "production"},
    )
