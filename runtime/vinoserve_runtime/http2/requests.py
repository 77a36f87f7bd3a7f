"""What a request's fields must be like (RFC 9113, 8.2 and 8.3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vinoserve_runtime.http2.blocks import Field
from vinoserve_runtime.http2.errors import ErrorCode, StreamFault

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\0\r\n]")
_PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_NEEDED: Final = (b":method", b":scheme", b":path")
_OF_CONNECTIONS: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


@dataclass(frozen=True, slots=True)
class RequestHead:
    method: bytes
    path: bytes
    fields: dict[bytes, bytes]
    """But for the pseudo-header fields; what comes twice is joined with a comma."""


def read_request_head(fields: Sequence[Field]) -> RequestHead:
    """Raises StreamFault where the request is malformed."""
    pseudo: dict[bytes, bytes] = {}
    plain: dict[bytes, bytes] = {}
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR)
        if name.startswith(b":"):
            if name not in _PSEUDO or name in pseudo or plain:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR)
            pseudo[name] = value
        elif not _NAME.fullmatch(name) or name in _OF_CONNECTIONS or (name == b"te" and value != b"trailers"):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR)
        else:
            plain[name] = plain[name] + b"," + value if name in plain else value
    if any(not pseudo.get(name) for name in _NEEDED):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR)
    return RequestHead(pseudo[b":method"], pseudo[b":path"], plain)
