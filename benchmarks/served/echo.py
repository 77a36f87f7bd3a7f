"""The transport's limit: a loop on uvloop that answers each whole request with the same bytes, and looks at none.

echo.py PORT BODY_BYTES ANSWER_BYTES
"""

import asyncio
import sys

import uvloop

PORT, BODY, ANSWER = map(int, sys.argv[1:])
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (ANSWER, b"x" * ANSWER)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.head = b""
        self.missing = -1

    def data_received(self, data: bytes) -> None:
        while data:
            if self.missing < 0:
                self.head += data
                end = self.head.find(b"\r\n\r\n")
                if end < 0:
                    return
                data, self.head = self.head[end + 4 :], b""
                self.missing = BODY
            taken = min(self.missing, len(data))
            self.missing -= taken
            data = data[taken:]
            if not self.missing:
                self.missing = -1
                self.transport.write(RESPONSE)  # type: ignore[attr-defined]


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", PORT)
    await server.serve_forever()


uvloop.run(main())
