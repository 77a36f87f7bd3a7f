"""The process that decodes large JSON, and what is said between it and the server: see `rest.decoding`.

`python -m vinoserve_runtime.json_process FD`: the server's end of the pipe is the other one.
"""

import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from vinoserve_runtime.protocol.errors import RequestError
from vinoserve_runtime.protocol.infer import Codec, Envelope
from vinoserve_runtime.tensors import Array

Decoded = tuple[Envelope, list[Array]]


def send(connection: Connection, outcome: Decoded | RequestError) -> None:
    """Arrays go beside the rest, without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(outcome, 5, buffer_callback=buffers.append)
    connection.send((len(buffers), text))
    for buffer in buffers:
        connection.send_bytes(buffer.raw())


def receive(connection: Connection) -> Any:
    """What was sent; raises EOFError where the process has ended."""
    count, text = connection.recv()
    return pickle.loads(text, buffers=[connection.recv_bytes() for _ in range(count)])  # noqa: S301 - our own process sent it


def main() -> None:
    """Until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the server
    connection = Connection(int(sys.argv[1]))
    while True:
        try:
            signature, header_length = connection.recv()
            body = connection.recv_bytes()
        except EOFError:
            return
        outcome: Decoded | RequestError
        try:
            outcome = Codec("", "", signature).decode(body, header_length)
        except RequestError as error:
            outcome = error
        send(connection, outcome)
        del body, outcome  # while nothing is asked


if __name__ == "__main__":
    main()
