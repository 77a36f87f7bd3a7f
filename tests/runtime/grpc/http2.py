"""HTTP/2 by hand: the bytes of a gRPC request, as a client with no manners could send them."""

from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def hello() -> bytes:
    """What a connection begins with."""
    return PREFACE + frame(SETTINGS, 0, 0)


def headers(path: str, *more: tuple[str, str], stream: int = 1) -> bytes:
    fields = [
        *((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "here")),
        *(("te", "trailers"), ("content-type", "application/grpc")),
        *more,
    ]
    # HPACK's "literal header field without indexing, new name", lengths below 127 (RFC 7541, 6.2.2)
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields
    )
    return frame(HEADERS, END_HEADERS, stream, block)


def message(content: bytes, *, length: int | None = None, compressed: int = 0) -> bytes:
    """A message with gRPC's prefix; `length` where that should lie."""
    said = len(content) if length is None else length
    return bytes([compressed]) + said.to_bytes(4, "big") + content


def request(path: str, content: bytes, *more: tuple[str, str]) -> bytes:
    """A whole connection with one whole request on it."""
    return hello() + headers(path, *more) + frame(DATA, END_STREAM, 1, message(content))
