"""What the project's images are made of, layer by layer: what changes seldom first, the project's own code last."""

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.fakegpu.environment import install, kernel_cache, make_environment
from tools.images.mkimage import ImageConfig, Layer, write_image
from tools.images.rootfs import APPLETS, BUNDLE, PACKAGE_FOLDER, PACKAGES, USER, compile_python, write_rootfs
from tools.toolbox.cache import cache_root, make_key, make_once, remove
from tools.toolbox.progress import Progress
from tools.toolbox.wheels import install_target

REPOSITORY = Path(__file__).parents[2]
#: package -> the folder of the repository that has it
OPERATOR_PACKAGES = {"vinoserve_api": "crds", "vinoserve_operator": "operator", "vinoserve_cli": "cli"}
RUNTIME_PACKAGES = {"vinoserve_api": "crds", "vinoserve_runtime": "runtime", "vinoserve_cli": "cli"}
FAKEGPU_PREFIX = Path("/opt/fakegpu")
FAKEGPU_KERNELS = Path("/opt/fakegpu-kernels")
LAUNCHER = """\
#!/usr/bin/python3
import sys

from vinoserve_cli.__main__ import main

sys.exit(main())
"""


@dataclass(frozen=True)
class Recipe:
    """One image. `kind` is also the last part of its name."""

    kind: str
    lock: str
    packages: Mapping[str, str]
    command: tuple[str, ...]
    emulated_gpu: bool = False


RECIPES = {
    recipe.kind: recipe
    for recipe in (
        Recipe("operator", "operator.lock", OPERATOR_PACKAGES, ("operator",)),
        Recipe("runtime", "runtime.lock", RUNTIME_PACKAGES, ("serve",)),
        Recipe("runtime-gpu-emulated", "runtime.lock", RUNTIME_PACKAGES, ("serve",), emulated_gpu=True),
    )
}


@dataclass(frozen=True)
class Image:
    """An image that was made."""

    kind: str
    tag: str
    archive: Path
    digest: str = field(default="")


def read_project() -> dict[str, str]:
    project: dict[str, str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return project


def make_tag(kind: str) -> str:
    return f"localhost/vinoserve-{kind}:{read_project()['version']}"


def build_image(recipe: Recipe) -> Image:
    """Make the image's archive in the cache folder, from the repository as it is now."""
    root = cache_root() / "images"
    root.mkdir(parents=True, exist_ok=True)
    tag = make_tag(recipe.kind)
    progress = Progress(4 if recipe.emulated_gpu else 3)
    with progress.step(f"{recipe.kind}: Debian's Python 3.11", 12):
        rootfs = make_rootfs(root)
    with progress.step(f"{recipe.kind}: {recipe.lock}", 30):
        dependencies = make_dependencies(root, rootfs, REPOSITORY / "requirements" / recipe.lock)
    layers = [
        Layer(((rootfs, ""),), "Debian 12 with Python 3.11"),
        Layer(((dependencies, PACKAGE_FOLDER),), f"requirements/{recipe.lock}"),
    ]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "SSL_CERT_FILE": f"/{BUNDLE}"}
    if recipe.emulated_gpu:
        with progress.step(f"{recipe.kind}: the emulated GPU", 30):
            prefix, kernels = install(cache_root()), kernel_cache(cache_root())
        layers += [
            Layer(((prefix, str(FAKEGPU_PREFIX)),), "emulated GPU"),
            Layer(((kernels, str(FAKEGPU_KERNELS)),), "kernels built for the emulated GPU"),
        ]
        caches = {"FAKEGPU_CACHE_RO": str(FAKEGPU_KERNELS), "FAKEGPU_CACHE": "/tmp/fakegpu"}
        env |= make_environment(FAKEGPU_PREFIX, 1, caches)
    with progress.step(f"{recipe.kind}: {tag}", 3):
        code = write_code(root, rootfs, recipe)
        layers.append(Layer(((code, ""),), "vinoserve"))
        config = ImageConfig(
            command=recipe.command,
            entrypoint=("/usr/local/bin/vinoserve",),
            env=env,
            labels={
                "org.opencontainers.image.title": f"vinoserve-{recipe.kind}",
                "org.opencontainers.image.version": read_project()["version"],
                "org.opencontainers.image.licenses": read_project()["license"],
            },
            user=f"{USER}:{USER}",
        )
        archive = root / f"vinoserve-{recipe.kind}-{read_project()['version']}.tar"
        digest = write_image(archive, tag, layers, config, root / "layers")
    return Image(recipe.kind, tag, archive, digest)


def make_rootfs(root: Path) -> Path:
    return make_once(root / f"rootfs-{make_key(PACKAGES, APPLETS)}", write_rootfs)


def make_dependencies(root: Path, rootfs: Path, lock: Path) -> Path:
    """The locked packages, compiled; made once for each lock."""

    def fill(dest: Path) -> None:
        install_target(lock, dest)
        remove(dest / "bin")  # scripts for a Python that is not there
        compile_python(rootfs, dest, f"/{PACKAGE_FOLDER}")

    return make_once(root / f"{lock.stem}-{make_key(lock)}", fill)


def write_code(root: Path, rootfs: Path, recipe: Recipe) -> Path:
    """The project's own packages and the command `vinoserve`; made once for each state of the code."""
    sources = {name: REPOSITORY / folder / name for name, folder in recipe.packages.items()}
    key = make_key(*sources.values(), REPOSITORY / "pyproject.toml", LAUNCHER)

    def fill(dest: Path) -> None:
        packages = dest / PACKAGE_FOLDER
        packages.mkdir(parents=True)
        for name, source in sources.items():
            shutil.copytree(source, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
        compile_python(rootfs, packages, f"/{PACKAGE_FOLDER}")
        write_metadata(packages)
        launcher = dest / "usr/local/bin/vinoserve"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o755)

    return make_once(root / f"{recipe.kind}-code-{key}", fill)


def write_metadata(packages: Path) -> None:
    """What importlib.metadata needs to tell the version."""
    project = read_project()
    info = packages / f"vinoserve-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: vinoserve\nVersion: {project['version']}\n")
