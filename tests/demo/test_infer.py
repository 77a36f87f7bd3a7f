import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from tools.demo.infer import HEADER_LENGTH, ask, make_request, read_reply
from tools.toolbox.errors import ToolError

PICTURE = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
ANSWER = np.array([[0.25, 0.75]], np.float32)
Answer = Callable[[bytes, int], tuple[int, dict[str, str], bytes]]


def make_reply(shape: tuple[int, ...] = (1, 1, 2), datatype: str = "FP32") -> tuple[str, bytes]:
    output = {
        "name": "y",
        "datatype": datatype,
        "shape": shape,
        "parameters": {"binary_data_size": ANSWER.nbytes},
    }
    header = json.dumps({"model_name": "ppocr", "outputs": [output]}).encode()
    return str(len(header)), header + ANSWER.tobytes()


@contextmanager
def serve(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, reply = answer(body, int(self.headers[HEADER_LENGTH]))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(reply))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v2/models/ppocr/infer"
        finally:
            server.shutdown()
            thread.join()


def test_the_picture_follows_the_json_as_it_is() -> None:
    headers, body = make_request(PICTURE)
    size = int(headers[HEADER_LENGTH])
    (tensor,) = json.loads(body[:size])["inputs"]
    assert tensor == {
        "name": "x",
        "datatype": "UINT8",
        "shape": [1, 2, 4, 3],
        "parameters": {"binary_data_size": 24},
    }
    assert body[size:] == PICTURE.tobytes()


def test_an_answer_is_read() -> None:
    np.testing.assert_array_equal(read_reply(*make_reply()), ANSWER)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((None, b"{}"), "binary extension"),
        (make_reply(datatype="INT64"), "one FP32 output"),
        (make_reply(shape=(2, 1, 1)), "batch 1"),
    ],
)
def test_another_answer_is_refused(reply: tuple[str | None, bytes], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        read_reply(*reply)


def test_ask() -> None:
    size, reply = make_reply()

    def answer(body: bytes, length: int) -> tuple[int, dict[str, str], bytes]:
        assert body[length:] == PICTURE.tobytes()
        return 200, {HEADER_LENGTH: size}, reply

    with serve(answer) as url:
        np.testing.assert_array_equal(ask(url, PICTURE), ANSWER)


def test_what_the_server_says_is_shown() -> None:
    with (
        serve(lambda *_: (400, {}, b'{"error": "x: wrong shape"}')) as url,
        pytest.raises(ToolError, match=r"400 .*x: wrong shape"),
    ):
        ask(url, PICTURE)


def test_nobody_there() -> None:
    with serve(lambda *_: (200, {}, b"")) as url:
        pass
    with pytest.raises(ToolError, match="refused"):
        ask(url, PICTURE)
