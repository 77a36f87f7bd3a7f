"""The images' base: Debian 12's Python 3.11 and what it needs, unpacked into a folder without installing anything."""

import shutil
from pathlib import Path

from tools.toolbox.debian import need_bookworm, unpack
from tools.toolbox.programs import run

PACKAGES = [
    "base-files",
    "busybox-static",
    "ca-certificates",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libdb5.3",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libncursesw6",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libtinfo6",
    "libuuid1",
    "media-types",
    "netbase",
    # the loader: OpenVINO's GPU plugin needs it even to say that there is no GPU
    "ocl-icd-libopencl1",
    "python3.11-minimal",
    "zlib1g",
]
#: applets of busybox that make a look into a container possible
APPLETS = ["cat", "echo", "grep", "head", "id", "ls", "ps", "sh", "sleep", "stat", "tail", "wget"]
UNUSED = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
]
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
#: Python code that is added goes here: Debian's Python finds it without being told
PACKAGE_FOLDER = "usr/local/lib/python3.11/dist-packages"
USER = 65532


def write_rootfs(dest: Path) -> None:
    need_bookworm()
    unpack(PACKAGES, dest)
    for folder in UNUSED:
        shutil.rmtree(dest / folder, ignore_errors=True)
    for name in ("python3", "python"):
        (dest / "usr/bin" / name).symlink_to("python3.11")
    (dest / "usr/bin/env").symlink_to("../../bin/busybox")  # where scripts look for it
    for applet in APPLETS:
        link = dest / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    (dest / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\nnonroot:x:{USER}:{USER}::/tmp:/bin/sh\n")
    (dest / "etc/group").write_text(f"root:x:0:\nnonroot:x:{USER}:\n")
    certificates = sorted((dest / "usr/share/ca-certificates").rglob("*.crt"))
    (dest / BUNDLE).parent.mkdir(parents=True, exist_ok=True)
    (dest / BUNDLE).write_text("".join(file.read_text() for file in certificates))
    (dest / PACKAGE_FOLDER).mkdir(parents=True, exist_ok=True)
    compile_python(dest, dest / "usr/lib/python3.11", "/usr/lib/python3.11")


def compile_python(rootfs: Path, folder: Path, name: str) -> None:
    """Compile the modules below `folder`, which is `name` in the image, with the image's own Python.

    A container has a read-only root: it could not keep what it compiles, and would do so at each start.
    """
    libraries = [rootfs / part for part in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")]
    run(
        [
            *(rootfs / "lib64/ld-linux-x86-64.so.2", "--library-path", ":".join(map(str, libraries))),
            *(rootfs / "usr/bin/python3.11", "-I", "-S", "-m", "compileall", "-q", "-f"),
            *("--invalidation-mode", "unchecked-hash", "-s", folder, "-p", name, folder),
        ],
        env={},  # it finds its own library by where it is
    )
