"""A cluster to show it on: one of its own on this machine, or the one of the current kube context."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.demo import local, manifests
from tools.demo.cluster import DEVCLUSTER, Access, devcluster
from tools.demo.stages import stage
from tools.devcluster.access import LIST_IMAGES, parse_images
from tools.fakegpu.environment import SOURCE as FAKEGPU
from tools.images.mkimage import read_images
from tools.images.recipes import RECIPES, build_images
from tools.toolbox.cache import cache_root, make_key, make_once
from tools.toolbox.debian import need_bookworm
from tools.toolbox.errors import ToolError

CLUSTER = "vinoserve"  # devcluster's default name, so that the user needs no --name
EMULATED = "runtime-gpu-emulated"
REQUIREMENTS = Path(__file__).parents[2] / "requirements"
KERNEL_SOURCES = (REQUIREMENTS / "runtime.lock", REQUIREMENTS / "gpu-emulated.lock", FAKEGPU)
GPU_RESOURCES = ("gpu.intel.com/xe", "gpu.intel.com/i915")


def find_obstacle() -> str | None:
    """Why this machine can't have the demo's cluster, or None."""
    check = subprocess.run([DEVCLUSTER, "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        return check.stderr.strip().removeprefix("devcluster: ")
    try:
        need_bookworm()
    except ToolError as error:
        return str(error)
    return None


def prepare_current() -> Access:
    access = Access()
    with stage(f"Cluster: the current kube context, {access.kubectl('config', 'current-context').strip()}"):
        access.kubectl("get", "--raw", "/readyz")
    return access


@dataclass(frozen=True)
class Images:
    operator: str
    runtime: str
    emulated: str | None  # what model pods run instead, with an emulated GPU


def prepare_devcluster(device: str, model: Path, digest: str) -> tuple[Access, Images]:
    """The demo's own cluster, with the images that it takes."""
    if device == "GPU":
        build_kernels(model, digest)
    access = Access((str(DEVCLUSTER), "--name", CLUSTER, "run", "--"))
    with stage("Cluster: a real Kubernetes on this machine, in namespaces of its own"):
        devcluster("--name", CLUSTER, "up", "--gpus", "2")
    kinds = ["operator", "runtime", *([EMULATED] if device == "GPU" else [])]
    with stage("Images: made from this checkout, without a container engine"):
        made = build_images([RECIPES[kind] for kind in kinds])
        before = list_images()
        devcluster("--name", CLUSTER, "load", *(str(image.archive) for image in made))
        for image in made:
            for tag, now in read_images(image.archive).items():
                if before.get(tag, now) != now:
                    forget_pods(access, tag)
    tags = {image.kind: image.tag for image in made}
    return access, Images(tags["operator"], tags["runtime"], tags.get(EMULATED))


def build_kernels(model: Path, digest: str) -> None:
    """Have the emulated GPU's kernels built once for this model; they are part of the image that the pods run."""

    def fill(dest: Path) -> None:
        with local.serving(model, digest, "GPU"):
            dest.touch()

    document = manifests.make_inference_service("", digest, "GPU", None)
    done = cache_root() / "demo" / f"kernels-{make_key(document, *KERNEL_SOURCES)}"
    if not done.exists():
        with stage(
            "Emulated GPU: OpenVINO's real GPU plugin on this machine's CPU; its kernels are built once"
        ):
            make_once(done, fill)


def list_images() -> dict[str, str]:
    """Tag -> digest of the images that the node has."""
    command = [str(DEVCLUSTER), "--name", CLUSTER, "exec", "--", *LIST_IMAGES]
    return parse_images(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def forget_pods(access: Access, tag: str) -> None:
    """Delete the pods that run an older image of this tag: what owns them makes new ones."""
    pods = access.get("pods", "--all-namespaces").get("items", [])
    for pod in pods:
        if tag in {container["image"] for container in pod["spec"]["containers"]}:
            metadata = pod["metadata"]
            access.kubectl("-n", metadata["namespace"], "delete", "pod", metadata["name"], "--timeout=60s")


def find_gpu_resource(access: Access, device: str) -> str:
    """The resource that the cluster's nodes offer. Raises ToolError where a GPU is needed and there is none."""
    nodes = access.get("nodes")["items"]
    offered = {
        name
        for node in nodes
        for name, count in node["status"].get("allocatable", {}).items()
        if count != "0"
    }
    found = [resource for resource in GPU_RESOURCES if resource in offered]
    if device == "GPU" and not found:
        raise ToolError(
            f"DEVICE=GPU: no node offers {' or '.join(GPU_RESOURCES)}; install Intel's GPU device plugin, or leave DEVICE out"
        )
    return (found or GPU_RESOURCES)[0]
