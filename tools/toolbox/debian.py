"""Debian packages fetched by the machine's own apt and unpacked into a folder: nothing is installed, no root needed."""

import os
import platform
from pathlib import Path

from tools.toolbox.errors import ToolError
from tools.toolbox.programs import need, run


def need_bookworm() -> None:
    """The images' Python 3.11 is Debian 12's; another release's packages do not fit together with it."""
    release = platform.freedesktop_os_release()
    if release.get("VERSION_CODENAME") != "bookworm":
        name = release.get("PRETTY_NAME", "this system")
        raise ToolError(
            f"images are made from Debian 12 (bookworm) packages, this is {name}: build the Containerfile instead"
        )


def unpack(packages: list[str], dest: Path) -> None:
    """Fetch `packages` (without what they depend on) and unpack them into `dest`.

    apt gets folders of its own, so that neither root nor the machine's package lists are needed.
    """
    need("apt-get", "dpkg-deb")
    apt = dest.with_name(dest.name + ".apt")
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    config = apt / "apt.conf"
    config.write_text(
        f'Dir::State::Lists "{apt}/lists";\nDir::Cache "{apt}/cache";\nAPT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\nAcquire::Retries "3";\n'
    )
    env = {**os.environ, "APT_CONFIG": str(config)}
    run(["apt-get", "update", "-qq"], env=env)
    run(["apt-get", "download", "-qq", *packages], cwd=apt / "debs", env=env)
    dest.mkdir(parents=True, exist_ok=True)
    for deb in sorted((apt / "debs").glob("*.deb")):
        run(["dpkg-deb", "-x", deb, dest])
