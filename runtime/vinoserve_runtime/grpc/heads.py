"""The heads of gRPC's requests and responses as HTTP/2 has them (gRPC's PROTOCOL-HTTP2)."""

import re
from dataclasses import dataclass
from typing import Final

from vinoserve_runtime.grpc.coding import CODINGS
from vinoserve_runtime.grpc.status import Code, UnknownMethodError
from vinoserve_runtime.http2.blocks import make_block
from vinoserve_runtime.http2.requests import RequestHead
from vinoserve_runtime.protocol.errors import InvalidRequestError

_IDENTITY: Final = b"identity"
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNPRINTABLE: Final = re.compile(rb"[^ -$&-~]")

_STATUS_200: Final = b"\x88"
"""`:status: 200` of the static table (RFC 7541, A)."""
_OK_FIELDS: Final = (
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity, deflate, gzip"),
)

HEAD: Final = _STATUS_200 + make_block(_OK_FIELDS)
"""What a response begins with."""


def make_trailers(code: Code, details: str = "") -> bytes:
    """What a response ends with."""
    fields = [(b"grpc-status", b"%d" % code)]
    if details:
        fields.append(
            (b"grpc-message", _UNPRINTABLE.sub(lambda one: b"%%%02X" % ord(one[0]), details.encode()))
        )
    return make_block(fields)


OK_TRAILERS: Final = make_trailers(Code.OK)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a call is to be."""

    timeout: float | None = None
    """Seconds that the client waits."""
    coding: bytes | None = None
    """Of the messages that say that they are compressed."""
    refusal: Exception | None = None
    """What is wrong with it."""
    http_refusal: bytes = b""
    """The answer where it isn't gRPC at all."""


def read_opening(head: RequestHead) -> Opening:
    no_grpc = UnknownMethodError("this is no gRPC")
    if head.method != b"POST":
        return Opening(refusal=no_grpc, http_refusal=_make_http_refusal(b"405"))
    if not head.fields.get(b"content-type", b"").startswith(b"application/grpc"):
        return Opening(refusal=no_grpc, http_refusal=_make_http_refusal(b"415"))
    coding = head.fields.get(b"grpc-encoding", _IDENTITY)
    if coding != _IDENTITY and coding not in CODINGS:
        return Opening(
            refusal=UnknownMethodError("grpc-encoding is not supported; identity, deflate and gzip are"),
        )
    timeout = None
    if b"grpc-timeout" in head.fields:
        found = _TIMEOUT.fullmatch(head.fields[b"grpc-timeout"])
        if found is None:
            return Opening(
                refusal=InvalidRequestError(
                    "grpc-timeout must be up to eight digits and one of H, M, S, m, u, n"
                ),
            )
        timeout = int(found[1]) * _UNITS[found[2]]
    return Opening(timeout, None if coding == _IDENTITY else coding)


def _make_http_refusal(status: bytes) -> bytes:
    return make_block(
        [(b":status", status), (b"content-type", b"application/grpc"), (b"content-length", b"0")]
    )
