"""Request targets: the path in segments, percent-decoded."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

import httptools

from vinoserve_runtime.rest.messages import HttpError

BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def split_path(target: bytes) -> list[str]:
    """`/v2/models/a%2Fb?x=1` is ["v2", "models", "a/b"]; a trailing slash leaves an empty last segment.

    Absolute-form targets (`http://host/path`) are read too. Raises HttpError 400.
    """
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        try:
            path = httptools.parse_url(target).path or b"/"
        except httptools.HttpParserInvalidURLError:
            raise HttpError(400, "malformed request target") from None
    if BAD_ESCAPE.search(path):
        raise HttpError(400, "malformed percent-encoding in the request target")
    try:
        return [unquote_to_bytes(segment).decode() for segment in path.split(b"/")[1:]]
    except UnicodeDecodeError:
        raise HttpError(400, "the request target is not UTF-8") from None
