"""Content codings: gzip and deflate in, gzip out."""

import re
import zlib
from typing import Final

from vinoserve_runtime.rest.messages import HttpError

GZIP_NAMES: Final = (b"gzip", b"x-gzip")
GZIP_LEVEL: Final = 1
"""Tensors hardly get smaller by trying harder."""
GZIP_MEMBERS: Final = 16
"""More that follow the first (RFC 1952, 2.2); each costs a copy of what is behind it."""
MOST_TIMES_SHORTER: Final = 1032
"""What deflate makes of zeros."""
GZIP_WBITS: Final = 31
ZLIB_WBITS: Final = 15
RAW_WBITS: Final = -15
QUALITY: Final = re.compile(rb"[01](\.[0-9]{0,3})?")


def check_coding(coding: bytes) -> bytes | None:
    """The coding of a request body in lower case, None for identity; raises HttpError 415 for an unknown one."""
    name = coding.strip().lower()
    if name in {b"", b"identity"}:
        return None
    if name in GZIP_NAMES or name == b"deflate":
        return name
    raise HttpError(
        415,
        f"Content-Encoding {coding.decode('latin-1')} is not supported; gzip, deflate and identity are",
        (b"Accept-Encoding", b"gzip, deflate"),
    )


def decompress(coding: bytes, body: bytes | memoryview, limit: int) -> bytes:
    """The body as it was before `coding`. Never holds more than `limit` bytes plus one of it.

    Raises HttpError 400 where it is damaged or has something after its end, 413 where it is longer than `limit`.
    """
    plain, rest = _decompress_one(coding, body, limit)
    for _ in range(GZIP_MEMBERS if coding in GZIP_NAMES else 0):
        if not rest:
            break
        more, rest = _decompress_one(coding, rest, limit - len(plain))
        plain += more
    if rest:
        raise HttpError(400, f"the body is not valid {coding.decode()}: something follows its end")
    return plain


def _decompress_one(coding: bytes, body: bytes | memoryview, limit: int) -> tuple[bytes, bytes]:
    """One compressed stream, and what follows it."""
    decompressor = zlib.decompressobj(_window_bits(coding, body))
    try:
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise HttpError(400, f"the body is not valid {coding.decode()}: {error}") from None
    if len(plain) > limit:
        raise HttpError(413, "the body is longer than the limit after decompression")
    if not decompressor.eof:
        raise HttpError(400, f"the body is not valid {coding.decode()}: it ends early")
    return plain, decompressor.unused_data


def compress(body: bytes) -> bytes:
    return zlib.compress(body, GZIP_LEVEL, GZIP_WBITS)


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether the client prefers gzip, or takes it as gladly as anything else (RFC 9110, 12.5.3)."""
    weights: dict[bytes, float] = {}
    for element in accept_encoding.lower().split(b","):
        name, *parameters = (part.strip() for part in element.split(b";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition(b"=")
            if key.strip() == b"q":
                weight = float(value) if QUALITY.fullmatch(value.strip()) else 0.0
        weights[name] = weight
    gzip = max((weights[name] for name in GZIP_NAMES if name in weights), default=weights.get(b"*", 0.0))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def _window_bits(coding: bytes, body: bytes | memoryview) -> int:
    if coding in GZIP_NAMES:
        return GZIP_WBITS
    # "deflate" is zlib's format (RFC 9110, 8.4.1.2); clients that send the bare one are common enough.
    has_zlib_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return ZLIB_WBITS if has_zlib_header else RAW_WBITS
