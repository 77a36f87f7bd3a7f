"""Build the cluster's programs: pinned Go modules, and three Debian programs unpacked. What is built is not built again."""

import re
import shutil
from functools import cached_property
from pathlib import Path

from tools.devcluster.golang import VERSION, find_go
from tools.devcluster.layout import BUSYBOX_IMAGE, PAUSE_IMAGE, Build
from tools.images.mkimage import ImageConfig, Layer, write_image
from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.debian import unpack
from tools.toolbox.errors import ToolError
from tools.toolbox.programs import need, run
from tools.toolbox.steps import Step, make_missing

PROGRAMS = Path(__file__).parent / "programs"
KUBERNETES = PROGRAMS / "kubernetes"
NODE = PROGRAMS / "node"

DEBIAN_PACKAGES = [
    "runc",
    "libseccomp2",
    "nftables",
    "libnftables1",
    "libnftnl11",
    "libjansson4",
    "libmnl0",
    "libgmp10",
    "libedit2",
    "libbsd0",
    "libmd0",
    "libtinfo6",
    "libxtables12",
    "busybox-static",
]
KUBERNETES_PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
BUSYBOX_APPLETS = [
    "cat",
    "echo",
    "env",
    "grep",
    "hostname",
    "httpd",
    "id",
    "ip",
    "ls",
    "mount",
    "nc",
    "nslookup",
    "ps",
    "sh",
    "sleep",
    "stat",
    "touch",
    "wget",
]
CONTAINERD = "github.com/containerd/containerd/v2"
CNI = "github.com/containernetworking/plugins/plugins"
HELM = "helm.sh/helm/v4"


def make_build() -> Build:
    """The folder of these very sources, pinned versions and build steps."""
    key = make_key(PROGRAMS, Path(__file__), VERSION)
    return Build(cache_root() / "devcluster" / key)


def build_programs() -> Build:
    """Make what is missing, one step after the other; each step appears whole or not at all."""
    build = make_build()
    if build.complete.exists():
        return build
    need("apt-get", "dpkg-deb")
    make_missing(make_steps(build))
    link_programs(build)
    build.complete.touch()
    return build


def make_steps(build: Build) -> list[Step]:
    go = Go()
    kubernetes, containerd, helm = (
        read_pin(KUBERNETES, "k8s.io/kubernetes"),
        read_pin(NODE, CONTAINERD),
        read_pin(NODE, HELM),
    )

    def program(path: str, what: str, seconds: int, module: Path, package: str, *, flags: str = "") -> Step:
        return Step(build.root / path, what, seconds, lambda dest: go.build(module, package, dest, flags))

    def from_containerd(name: str, seconds: int) -> Step:
        flags = f"-X {CONTAINERD}/version.Version={containerd}"
        return program(
            f"bin/{name}", f"{name} {containerd}", seconds, NODE, f"{CONTAINERD}/cmd/{name}", flags=flags
        )

    return [
        Step(
            build.debian, "runc, nft and busybox from Debian", 5, lambda dest: unpack(DEBIAN_PACKAGES, dest)
        ),
        Step(build.bin / "nft", "nft's wrapper", 0, write_nft_wrapper),
        Step(build.root / "modules", "Go modules", 20, go.download),
        program(
            "bin/hyperkube",
            f"Kubernetes {kubernetes} and etcd",
            380,
            KUBERNETES,
            ".",
            flags=make_kubernetes_flags(kubernetes),
        ),
        program("bin/pause", "pause", 2, KUBERNETES, "./pause"),
        program("bin/gpu-plugin", "device plugin", 8, KUBERNETES, "./gpuplugin"),
        program("bin/gpu-dra", "DRA driver", 8, KUBERNETES, "./gpudra"),
        from_containerd("containerd", 46),
        from_containerd("containerd-shim-runc-v2", 3),
        from_containerd("ctr", 4),
        program("cni/ptp", "CNI plugin ptp", 1, NODE, f"{CNI}/main/ptp"),
        program("cni/loopback", "CNI plugin loopback", 1, NODE, f"{CNI}/main/loopback"),
        program("cni/host-local", "CNI plugin host-local", 1, NODE, f"{CNI}/ipam/host-local"),
        program("bin/coredns", "CoreDNS", 42, NODE, "./coredns"),
        program(
            "bin/helm",
            f"helm {helm}",
            25,
            NODE,
            f"{HELM}/cmd/helm",
            flags=f"-X {HELM}/internal/version.version={helm}",
        ),
        Step(build.images / "pause.tar", "image pause", 0, lambda dest: write_pause_image(build, dest)),
        Step(build.images / "busybox.tar", "image busybox", 0, lambda dest: write_busybox_image(build, dest)),
    ]


class Go:
    """The compiler, looked for when the first step needs it."""

    @cached_property
    def found(self) -> tuple[str, dict[str, str]]:
        return find_go()

    def run(self, module: Path, *args: str | Path) -> None:
        go, env = self.found
        run([go, *args], cwd=module, env=env)

    def download(self, dest: Path) -> None:
        """All modules that are compiled, before the long steps: a network that does not answer shows early."""
        for module, packages in ((KUBERNETES, ["./..."]), (NODE, ["./...", "tool"])):
            self.run(module, "list", "-deps", *packages)
        dest.touch()

    def build(self, module: Path, package: str, dest: Path, flags: str) -> None:
        self.run(module, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", dest, package)


def read_pin(module: Path, name: str) -> str:
    """The version of `name` in a go.mod."""
    found = re.search(
        rf"^\s*(?:require )?{re.escape(name)} (v\S+)", (module / "go.mod").read_text(), re.MULTILINE
    )
    if not found:
        raise ToolError(f"{module / 'go.mod'} does not name {name}")
    return found[1]


def make_kubernetes_flags(version: str) -> str:
    """Linker flags by which `kubectl version` and the nodes tell their version."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())


def write_nft_wrapper(dest: Path) -> None:
    """kube-proxy calls `nft` from PATH; it needs the libraries it was unpacked with."""
    dest.write_text(
        '#!/bin/sh\nroot=$(dirname "$(dirname "$0")")/debian\n'
        'LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu" exec "$root/usr/sbin/nft" "$@"\n'
    )
    dest.chmod(0o755)


def link_programs(build: Build) -> None:
    """hyperkube's names, and kubectl and helm in a folder of their own."""
    build.clients.mkdir(exist_ok=True)
    links = [(build.bin / name, "hyperkube") for name in KUBERNETES_PROGRAMS]
    links += [(build.clients / name, f"../bin/{name}") for name in ("kubectl", "helm")]
    for link, target in links:
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def write_pause_image(build: Build, dest: Path) -> None:
    layer = Layer(((build.bin / "pause", "pause"),), "pause")
    write_image(dest, PAUSE_IMAGE, [layer], ImageConfig(["/pause"]), dest.with_name("layers"))


def write_busybox_image(build: Build, dest: Path) -> None:
    """A small image with a shell and an HTTP server, for tries and tests."""
    root = dest.with_name("root")
    for folder in ("bin", "etc", "www"):
        (root / folder).mkdir(parents=True)
    shutil.copy2(build.debian / "bin/busybox", root / "bin/busybox")
    for applet in BUSYBOX_APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n")
    (root / "www/index.html").write_text("hello\n")
    config = ImageConfig(["/bin/httpd", "-f", "-p", "8080", "-h", "/www"], env={"PATH": "/bin"}, user="65532")
    write_image(dest, BUSYBOX_IMAGE, [Layer(((root, ""),), "busybox")], config, dest.with_name("layers"))
