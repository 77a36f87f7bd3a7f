"""`oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:…]`: what it names, and where its registry answers. Pure."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

_REFERENCE: Final = re.compile(
    r"oci://(?P<host>\[[0-9a-fA-F:.]+\](?::\d+)?|[^/@:\[]+(?::\d+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DOCKER_HUB: Final = ("docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Reference:
    host: str
    """With its port, as written."""
    repository: str
    tag: str
    digest: str | None
    """Counts before the tag."""

    @property
    def version(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag

    @property
    def api(self) -> str:
        """The host that answers for the reference's."""
        return _DOCKER_HUB[1] if self.host == _DOCKER_HUB[0] else self.host

    @property
    def is_loopback(self) -> bool:
        name = re.sub(r":\d+$", "", self.host)
        if name == "localhost":
            return True
        try:
            return ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False


def parse_reference(uri: str) -> Reference:
    """Raises InvalidConfig."""
    found = _REFERENCE.fullmatch(uri)
    if found is None:
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            "spec.model.uri: write oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST",
        )
    return Reference(found["host"], found["repository"], found["tag"] or "latest", found["digest"])
