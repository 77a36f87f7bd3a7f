"""What the uris of models name. Pure; the rules of the API have checked their form."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError


@dataclass(frozen=True)
class ObjectAddress:
    """`s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`; a `key` that is empty or ends in a slash is a folder."""

    bucket: str
    key: str


@dataclass(frozen=True)
class HubAddress:
    """`hf://OWNER/NAME[@REVISION][/PATH]`; a slash of a revision is written %2F."""

    repository: str
    revision: str
    path: str
    """Of a file or folder in the repository; empty: all of it."""


def parse_object(uri: str) -> ObjectAddress:
    parts = urlsplit(uri)
    return ObjectAddress(parts.netloc, unquote(parts.path).lstrip("/"))


def parse_hub(uri: str) -> HubAddress:
    found = re.fullmatch(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?", uri)
    if found is None:
        raise StartupError(
            FailureReason.INVALID_CONFIG, "spec.model.uri: write hf://OWNER/NAME[@REVISION][/PATH]"
        )
    return HubAddress(unquote(found[1]), unquote(found[2] or "main"), unquote(found[3] or "").strip("/"))
