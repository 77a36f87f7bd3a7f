"""HTTP by hand: bytes to a socket, and answers from it with the standard library's parser."""

import io
import socket
from http.client import HTTPResponse
from typing import Self

from tests.runtime.rest.serving import Answer, Running


class Wire:
    """A connection on which anything can be sent."""

    def __init__(self, server: Running | int) -> None:
        port = server if isinstance(server, int) else server.port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; interim ones (1xx) too."""
        while b"\r\n\r\n" not in self._unread:
            self._receive()
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        response = HTTPResponse(_Source(head + b"\r\n\r\n"), method=method)  # type: ignore[arg-type]
        if head.startswith(b"HTTP/1.1 100"):
            self._unread = rest
            return Answer(100, {}, b"")
        response.begin()
        length = 0 if method == "HEAD" else int(response.headers["Content-Length"])
        while len(rest) < length:
            self._receive()
            rest = self._unread.partition(b"\r\n\r\n")[2]
        self._unread = rest[length:]
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, rest[:length]
        )

    def is_closed(self) -> bool:
        """Waits for the server to close; False where it says something instead."""
        try:
            return not self._unread and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError(f"closed after {self._unread[:200]!r}")
        self._unread += data


class _Source:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def get(path: str = "/v2/health/live", *headers: str, version: str = "1.1") -> bytes:
    return request("GET", path, b"", *headers, version=version)


def request(method: str, path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: here", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(path: str, *chunks: bytes, headers: tuple[str, ...] = ()) -> bytes:
    head = "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: here", "Transfer-Encoding: chunked", *headers, "", ""]
    )
    return head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def refused(wire: Wire, status: int, message: str = "") -> None:
    """The server answers with `status`, says why, and closes."""
    answer = wire.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert message in answer.error
    assert wire.is_closed()
