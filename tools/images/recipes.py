"""What the project's images are made of, layer by layer: what changes seldom first, the project's own code last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.fakegpu.environment import kernel_cache, make_environment
from tools.fakegpu.environment import make_step as make_gpu_step
from tools.images.code import LAUNCHER, list_sources, read_version, write_code
from tools.images.mkimage import ImageConfig, Layer, write_image
from tools.images.rootfs import BUNDLE, PACKAGE_FOLDER, USER, compile_python, write_rootfs
from tools.toolbox.cache import cache_root, lock, make_key, make_once, remove
from tools.toolbox.progress import say
from tools.toolbox.steps import Step, make_missing
from tools.toolbox.wheels import install_target

REPOSITORY = Path(__file__).parents[2]
FAKEGPU_PREFIX = Path("/opt/fakegpu")
FAKEGPU_KERNELS = Path("/opt/fakegpu-kernels")


@dataclass(frozen=True)
class Recipe:
    """One image. `kind` is also the last part of its name."""

    kind: str
    code: str  # whose: see code.PACKAGES
    command: tuple[str, ...]
    emulated_gpu: bool = False


RECIPES = {
    recipe.kind: recipe
    for recipe in (
        Recipe("operator", "operator", ("operator",)),
        Recipe("runtime", "runtime", ("serve",)),
        Recipe("runtime-gpu-emulated", "runtime", ("serve",), emulated_gpu=True),
    )
}


@dataclass(frozen=True)
class Image:
    """An image that was made."""

    kind: str
    tag: str
    archive: Path


def build_images(recipes: Sequence[Recipe]) -> list[Image]:
    """Make the images' archives in the cache folder, from the repository as it is now."""
    root = cache_root() / "images"
    rootfs = root / f"rootfs-{make_key(Path(__file__).with_name('rootfs.py'))}"
    steps = [Step(rootfs, "Debian's Python 3.11", 12, write_rootfs)]
    steps += [make_dependencies_step(root, rootfs, recipe) for recipe in recipes]
    steps += [make_gpu_step(cache_root()) for recipe in recipes if recipe.emulated_gpu]
    make_missing(steps)
    return [build_image(root, rootfs, recipe) for recipe in recipes]


def build_image(root: Path, rootfs: Path, recipe: Recipe) -> Image:
    version = read_version()
    image = Image(
        recipe.kind,
        f"localhost/vinoserve-{recipe.kind}:{version}",
        root / f"vinoserve-{recipe.kind}-{version}.tar",
    )
    layers = [
        Layer(((rootfs, ""),), "Debian 12 with Python 3.11"),
        Layer(
            ((make_dependencies_step(root, rootfs, recipe).dest, PACKAGE_FOLDER),),
            f"requirements/{recipe.code}.lock",
        ),
    ]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "SSL_CERT_FILE": f"/{BUNDLE}"}
    if recipe.emulated_gpu:
        layers += [
            Layer(((make_gpu_step(cache_root()).dest, str(FAKEGPU_PREFIX)),), "emulated GPU"),
            Layer(
                ((kernel_cache(cache_root()), str(FAKEGPU_KERNELS)),), "kernels built for the emulated GPU"
            ),
        ]
        caches = {"FAKEGPU_CACHE_RO": str(FAKEGPU_KERNELS), "FAKEGPU_CACHE": "/tmp/fakegpu"}
        env |= make_environment(FAKEGPU_PREFIX, 1, caches)
    layers.append(Layer(((make_code(root, rootfs, recipe), ""),), "vinoserve"))
    config = ImageConfig(
        command=recipe.command,
        entrypoint=("/usr/local/bin/vinoserve",),
        env=env,
        labels={
            "org.opencontainers.image.title": f"vinoserve-{recipe.kind}",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
        user=f"{USER}:{USER}",
    )
    with lock(root / ".lock"):
        write_image(image.archive, image.tag, layers, config, root / "layers")
    say(f"{image.tag} is in {image.archive} ({image.archive.stat().st_size / 1e6:.0f} MB)")
    return image


def make_dependencies_step(root: Path, rootfs: Path, recipe: Recipe) -> Step:
    """The locked packages, compiled; made once for each lock."""
    requirements = REPOSITORY / "requirements" / f"{recipe.code}.lock"

    def fill(dest: Path) -> None:
        install_target(requirements, dest)
        remove(dest / "bin")  # scripts for a Python that is not there
        remove(dest / "openvino_telemetry")  # OpenVINO does without it; a server reports to nobody
        compile_python(rootfs, dest, f"/{PACKAGE_FOLDER}")

    key = make_key(requirements, rootfs.name)
    return Step(root / f"{requirements.stem}-{key}", f"requirements/{recipe.code}.lock", 30, fill)


def make_code(root: Path, rootfs: Path, recipe: Recipe) -> Path:
    """The project's own code and the command `vinoserve`, compiled; made once for each state of the code."""

    def fill(dest: Path) -> None:
        packages = dest / PACKAGE_FOLDER
        write_code(recipe.code, packages, dest / "usr/local/bin")
        compile_python(rootfs, packages, f"/{PACKAGE_FOLDER}")

    key = make_key(*list_sources(recipe.code), LAUNCHER, read_version(), rootfs.name)
    return make_once(root / f"{recipe.code}-code-{key}", fill)
