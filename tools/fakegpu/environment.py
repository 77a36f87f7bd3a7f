"""What an emulated GPU needs, and the environment variables by which a process sees it."""

from pathlib import Path

from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.programs import need, run
from tools.toolbox.steps import Step, make_missing
from tools.toolbox.wheels import install_prefix

SOURCE = Path(__file__).with_name("fakegpu_icd.c")
LOCK = Path(__file__).parents[2] / "requirements/gpu-emulated.lock"
ICD = "lib/libfakegpu_icd.so"


def environment(count: int = 1, cache: Path | None = None) -> dict[str, str]:
    """Environment variables with which a process sees `count` emulated GPUs: for a subprocess, never for this one.

    The first call installs Intel's OpenCL runtime for the CPU (0.7 GB) and compiles the driver. `cache` is the cache
    folder, the user's if None. Built kernels are kept there: a model compiles in a minute once, then in a second.
    """
    root = cache or cache_root()
    return make_environment(install(root), count, {"FAKEGPU_CACHE": str(kernel_cache(root))})


def make_environment(prefix: Path, count: int, caches: dict[str, str]) -> dict[str, str]:
    """Pure: the variables for a runtime at `prefix`."""
    return {
        "LD_LIBRARY_PATH": str(prefix / "lib"),
        # newer than the oneTBB that OpenVINO brings: whichever is loaded first serves both
        "LD_PRELOAD": str(prefix / "lib/libtbb.so.12"),
        "OCL_ICD_FILENAMES": str(prefix / ICD),
        "FAKEGPU_REAL_ICD": str(prefix / "lib/libintelocl.so"),
        "FAKEGPU_COUNT": str(count),
        **caches,
    }


def kernel_cache(root: Path) -> Path:
    """The folder of built kernels, for processes of this machine and for the image."""
    folder = root / "gpu-emulated" / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def install(root: Path) -> Path:
    """The prefix with Intel's runtime, the OpenCL loader and the emulating driver in `lib/`; made once."""
    step = make_step(root)
    make_missing([step])
    return step.dest


def make_step(root: Path) -> Step:
    prefix = root / "gpu-emulated" / make_key(LOCK, SOURCE)
    return Step(prefix, "OpenCL runtime for the emulated GPU (0.7 GB)", 40, _fill)


def _fill(prefix: Path) -> None:
    need("cc")
    install_prefix(LOCK, prefix)
    run(["cc", "-O2", "-shared", "-fPIC", "-o", prefix / ICD, SOURCE, "-ldl", "-lpthread"])
