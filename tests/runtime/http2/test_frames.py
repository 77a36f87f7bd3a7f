"""Frames, header blocks and settings as bytes."""

import contextlib

import hypothesis.strategies as st
import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings

from tests.runtime.http2.peer import FIELDS, Frame, read_frames
from vinoserve_runtime.http2 import frames
from vinoserve_runtime.http2.blocks import KNOWN_BLOCKS, BlockReader, make_block
from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode, StreamFault
from vinoserve_runtime.http2.requests import read_request_head
from vinoserve_runtime.http2.rules import strip_headers
from vinoserve_runtime.http2.settings import read_peer_settings

NAMES = st.sampled_from([b"grpc-timeout", b"user-agent", b"x", b"te"]) | st.from_regex(
    rb"[a-z-]{1,200}", fullmatch=True
)
VALUES = st.binary(max_size=20) | st.binary(min_size=1500, max_size=1600)  # some are soon evicted
FIELD_LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=4)


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=50))
    )
)
def test_frames_are_read_as_they_are_made(given: list[tuple[int, int, int, bytes]]) -> None:
    data = b"".join(frames.make_frame(*one) for one in given)
    assert read_frames(data) == [Frame(*one) for one in given]


def test_frames_are_those_of_the_rfc() -> None:
    """RFC 9113, 4.1 and 6."""
    assert frames.make_frame(frames.PING, frames.ACK, 0, b"12345678") == b"\0\0\x08\x06\x01\0\0\0\x0012345678"
    assert frames.make_rst_stream(5, ErrorCode.CANCEL) == b"\0\0\x04\x03\0\0\0\0\x05\0\0\0\x08"
    assert frames.make_window_update(0, 65536) == b"\0\0\x04\x08\0\0\0\0\0\0\x01\0\0"
    goaway = frames.make_goaway(7, ErrorCode.PROTOCOL_ERROR, "why")
    assert goaway == b"\0\0\x0b\x07\0\0\0\0\0\0\0\0\x07\0\0\0\x01why"
    assert frames.read_settings(b"\0\x04\0\1\0\0") == [(4, 65536)]


@given(FIELD_LISTS)
def test_our_blocks_are_read_by_others(fields: list[tuple[bytes, bytes]]) -> None:
    assert [tuple(one) for one in Decoder().decode(make_block(fields), raw=True)] == fields


def test_a_long_value_of_ours() -> None:
    for size in (126, 127, 128, 254, 255, 6144):
        block = make_block([(b"grpc-message", b"x" * size)])
        assert [tuple(one) for one in Decoder().decode(block, raw=True)] == [(b"grpc-message", b"x" * size)]


@settings(max_examples=50)
@given(st.lists(FIELD_LISTS, max_size=8), st.booleans())
def test_blocks_mean_what_they_mean_without_a_memory(
    blocks: list[list[tuple[bytes, bytes]]], huffman: bool
) -> None:
    """Whatever is repeated, indexed or evicted in between."""
    encoder, reader = Encoder(), BlockReader(list)
    for fields in [*blocks, *blocks]:
        for _ in range(3):
            assert [tuple(one) for one in reader.read(encoder.encode(fields, huffman=huffman))] == fields


def test_what_is_repeated_is_interpreted_once() -> None:
    seen = []
    reader = BlockReader(lambda fields: seen.append(list(fields)) or len(seen))
    encoder = Encoder()
    first = [reader.read(encoder.encode(FIELDS)) for _ in range(5)]
    assert len(seen) == 2  # with its entries for the table, and without
    assert first == [1, 2, 2, 2, 2]
    encoder.encode([(b"x", b"y")])
    block = Encoder().encode(
        [(b"x", b"y")]
    )  # a new entry moves the others: the same bytes would mean something else
    reader.read(block)
    assert reader.read(encoder.encode(FIELDS)) == 4
    assert [tuple(one) for one in seen[3]] == FIELDS


def test_the_memory_is_bounded() -> None:
    reader = BlockReader(tuple)
    for index in range(10 * KNOWN_BLOCKS):
        reader.read(make_block([(b"x", b"%d" % index)]))
        assert len(reader._known) <= KNOWN_BLOCKS
    reader.read(make_block([(b"x", bytes(1000))]))
    assert all(len(block) < 1000 for block in reader._known)


def test_a_bomb_of_headers_is_found_out() -> None:
    """A byte each for a large entry of the table."""
    reader = BlockReader(tuple)
    reader.read(Encoder().encode([(b"x", b"y" * 4000)], huffman=False))
    with pytest.raises(ConnectionFault) as caught:
        reader.read(b"\xbe" * 20_000)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


@given(st.binary(max_size=60))
def test_any_block_is_read_or_refused(block: bytes) -> None:
    with contextlib.suppress(ConnectionFault, StreamFault):
        BlockReader(read_request_head).read(block)


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS[1:],
        [*FIELDS, FIELDS[0]],
        [(b"x", b"y"), *FIELDS],
        [*FIELDS, (b"Upper", b"case")],
        [*FIELDS, (b":status", b"200")],
        [*FIELDS, (b"connection", b"close")],
        [*FIELDS, (b"te", b"gzip")],
        [*FIELDS, (b"x", b"a\nb")],
        [*FIELDS, (b"", b"x")],
        [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"")],
    ],
)
def test_malformed_requests(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(StreamFault) as caught:
        read_request_head(fields)
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR


def test_a_request() -> None:
    head = read_request_head([*FIELDS, (b"te", b"trailers"), (b"x", b"1"), (b"x", b"2")])
    assert (head.method, head.path, head.fields) == (b"POST", b"/echo", {b"te": b"trailers", b"x": b"1,2"})


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\0\4\0", ErrorCode.FRAME_SIZE_ERROR),
        (b"\0\2\0\0\0\2", ErrorCode.PROTOCOL_ERROR),
        (b"\0\4\x80\0\0\0", ErrorCode.FLOW_CONTROL_ERROR),
        (b"\0\5\0\0\x3f\xff", ErrorCode.PROTOCOL_ERROR),
        (b"\0\5\x01\0\0\0", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_settings_that_cannot_be(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        read_peer_settings(payload)
    assert caught.value.code == code


def test_settings() -> None:
    assert read_peer_settings(b"\0\4\0\0\0\1\0\x63\0\0\0\0\0\5\0\0\x40\0") == (1, 16384)
    assert read_peer_settings(b"") == (None, None)


def test_padding_and_priority_of_headers() -> None:
    padded, priority = frames.PADDED, frames.WITH_PRIORITY
    assert strip_headers(padded, b"\2block\0\0") == b"block"
    assert strip_headers(priority, b"\0\0\0\1\x10block") == b"block"
    assert strip_headers(padded | priority, b"\1\0\0\0\1\x10block\0") == b"block"
    for flags, payload in (
        (padded, b""),
        (padded, b"\2x"),
        (priority, b"\0\0\0\1"),
        (padded | priority, b"\3\0\0\0\0\0xx"),
    ):
        with pytest.raises(ConnectionFault):
            strip_headers(flags, payload)
