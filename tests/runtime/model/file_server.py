"""A file server that can be as unreliable as the real ones."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.runtime.model.loopback import answering


@dataclass
class FileServer:
    """Serves `content` at every path but those in `redirects`."""

    content: bytes = b""
    etag: str | None = '"v1"'
    modified: str | None = None
    ranges: bool = True
    lies: bool = False
    """About which range it sends."""
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which an answer's connection is cut, an entry an answer of more than a byte."""
    statuses: list[int] = field(default_factory=list)
    """Answered first, an entry a request."""
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append((self.path, headers))
            if self.path in server.redirects:
                self.answer(302, {"Location": server.redirects[self.path]}, b"")
            elif server.statuses:
                self.answer(server.statuses.pop(0), {"Retry-After": "0"}, b"not now")
            else:
                self.send_content(headers)

        def send_content(self, headers: dict[str, str]) -> None:
            size = len(server.content)
            extra = {"ETag": server.etag} if server.etag else {}
            if server.modified:
                extra["Last-Modified"] = server.modified
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
            same = headers.get("if-range") in (None, server.etag, server.modified)
            if not (server.ranges and wanted and same):
                self.answer(200, extra, server.content)
                return
            start, stop = int(wanted[1]), min(int(wanted[2] or size) + 1, size)
            if start >= size:
                self.answer(416, extra | {"Content-Range": f"bytes */{size}"}, b"")
            else:
                shift = 1 if server.lies and start else 0
                extra["Content-Range"] = f"bytes {start + shift}-{stop - 1 + shift}/{size}"
                self.answer(206, extra, server.content[start:stop])

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if status < 300 and len(body) > 1 and server.cut_after:
                self.wfile.write(body[: server.cut_after.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with answering(Handler) as server.port:
        yield server
