"""Compressed messages (gRPC's grpc-encoding)."""

import asyncio
import zlib
from typing import Any, Final

from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.grpc.status import TooLargeError
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.room import ROOM_SECONDS, Room

CODINGS: Final = frozenset({b"gzip", b"deflate"})

INLINE_BYTES: Final = 4 << 10
"""Longer messages are decompressed in a thread."""
MOST_TIMES_SHORTER: Final = 1032
"""What deflate makes of zeros."""
_WBITS: Final = {b"gzip": 31, b"deflate": 15}


async def unpack(
    coding: bytes | None, message: Message, limit: int, room: Room | None, held: int
) -> tuple[bytes, int]:
    """The message as it was before `coding`, and the room that it holds now; `held` is given back where that fails.

    Raises InvalidRequestError, TooLargeError or QueueFullError.
    """
    try:
        decompressor = make_decompressor(coding)
        if room is not None:
            most = min(limit, len(message) * MOST_TIMES_SHORTER)
            await room.enter(most, ROOM_SECONDS)
            held += most
        if len(message) <= INLINE_BYTES:
            plain = decompress(decompressor, message, limit)
        else:
            plain = await asyncio.to_thread(decompress, decompressor, message, limit)
    except BaseException:
        if room is not None:
            room.give(held)
        raise
    if room is None:
        return plain, 0
    room.settle(held, len(plain))
    return plain, len(plain)


def make_decompressor(coding: bytes | None) -> Any:
    """Of zlib's. Raises InvalidRequestError where there is no coding."""
    if coding is None:
        raise InvalidRequestError("a message says that it is compressed, but grpc-encoding doesn't say how")
    return zlib.decompressobj(_WBITS[coding])


def decompress(decompressor: Any, message: Message, limit: int) -> bytes:
    """Never holds more than `limit` bytes plus one of it. Raises InvalidRequestError or TooLargeError."""
    try:
        plain: bytes = decompressor.decompress(message, limit + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"the message is not what grpc-encoding says: {error}") from None
    if len(plain) > limit:
        raise TooLargeError(f"the message is larger than maxRequestBytes ({limit}) when it is unpacked")
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidRequestError("the compressed message doesn't end where it should")
    return plain
