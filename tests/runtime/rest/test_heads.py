"""Known heads: whatever bytes come, in whatever pieces, a receiver that remembers heads finds what one that parses all finds."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.rest.raw_http import chunked, get, request
from vinoserve_runtime.rest.heads import BODY_BYTES, HEAD_BYTES, KNOWN_HEADS, Heads
from vinoserve_runtime.rest.messages import HttpError, Request, Response, Route
from vinoserve_runtime.rest.receiver import Receiver
from vinoserve_runtime.room import make_room

BODIES = st.sampled_from([b"", b"{}", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 50])
HEADERS = st.lists(
    st.sampled_from(
        [
            "Accept-Encoding: gzip",
            "accept-encoding: identity",
            "Connection: close",
            "Connection: keep-alive",
            "Connection: upgrade\r\nUpgrade: h2c",
            "Content-Encoding: gzip",
            "Content-Encoding: br",
            "Content-Length: 2",
            "Content-Length: 0",
            "Expect: 100-continue",
            "Inference-Header-Content-Length: 2",
            "Transfer-Encoding: chunked",
            "X: y",
            "bad header",
        ]
    ),
    max_size=2,
)
MESSAGES = st.one_of(
    st.builds(
        lambda method, path, body, headers, version: request(method, path, body, *headers, version=version),
        st.sampled_from(["GET", "POST", "BREW"]),
        st.sampled_from(["/a", "/a?b", "/missing"]),
        BODIES,
        HEADERS,
        st.sampled_from(["1.1", "1.1", "1.1", "1.0", "2.0"]),
    ),
    st.builds(lambda body: chunked("/a", *([body] if body else [])), BODIES),
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b"GET /a HTTP/1.1\n\n", b"nonsense\r\n\r\n"]),
)


class App:
    max_body_bytes = 1 << 20
    closing = False

    def route(self, method: str, target: bytes) -> Route:
        if target == b"/missing":
            raise HttpError(404, "no such path")
        return ROUTE

    def refuse(self, error: Exception) -> Response:
        raise AssertionError

    def answered(self, request: Request, status: int) -> None:
        raise AssertionError

    def can_abandon(self, task: Any) -> bool:
        raise AssertionError


ROUTE = Route("infer", lambda _: Response(200, []))


class Events(list[Any]):
    """What a receiver tells."""

    def request_received(self, request: Request) -> None:
        self.append(
            (
                *(request.method, request.target, request.headers, request.content_length, request.coding),
                *(
                    request.accepts_gzip,
                    bytes(request.body),
                    request.held,
                    request.keep_alive,
                    request.linger,
                ),
                *(request.route, str(request.refusal)),
            )
        )

    def request_refused(self, request: Request) -> None:
        self.append(("refused", str(request.refusal)))

    def continue_expected(self) -> None:
        self.append("continue")

    def room_found(self) -> None:
        raise AssertionError


def receive(pieces: list[bytes], heads: Heads | None) -> Events:
    events = Events()
    receiver = Receiver(App(), make_room(App.max_body_bytes), lambda: 0.0, events, heads)
    for piece in pieces:
        receiver.feed(piece)
    return events


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]


@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=3),
    repeats=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    at_borders=st.booleans(),
)
@settings(max_examples=600, deadline=None)
def test_known_heads_change_nothing(
    messages: list[bytes], repeats: int, cuts: list[int], at_borders: bool
) -> None:
    sent = messages * repeats
    data = b"".join(sent)
    pieces = sent if at_borders else split(data, sorted(min(cut, len(data)) for cut in cuts))
    heads = Heads()
    parsed = receive(pieces, None)
    assert receive(pieces, heads) == parsed
    assert receive(pieces, heads) == parsed  # once more, on another connection: what is known by now


def test_a_known_head_needs_no_parser() -> None:
    heads = Heads()
    first = request("POST", "/a", b"one", "Accept-Encoding: gzip")
    assert heads.recall(first) is None
    receive([first], heads)
    again = heads.recall(first[:-3] + b"two")
    assert again is not None
    assert (again.body, again.route, again.accepts_gzip, again.keep_alive) == (b"two", ROUTE, True, True)


def test_what_is_known_is_bounded() -> None:
    heads = Heads()
    receive([get(f"/{number}") for number in range(KNOWN_HEADS + 1)], heads)
    known = [heads.recall(get(f"/{number}")) is not None for number in range(KNOWN_HEADS + 1)]
    assert known[-1]
    assert known.count(True) <= KNOWN_HEADS
    for long in (get("/a", "X: " + "x" * HEAD_BYTES), request("POST", "/a", b"x" * (BODY_BYTES + 1))):
        receive([long], heads)
        assert heads.recall(long) is None
