"""Header blocks (RFC 7541): hpack decodes; what a client repeats to the byte is decoded and interpreted once."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from vinoserve_runtime.http2.errors import ConnectionFault, ErrorCode

Field = tuple[bytes, bytes]
_T = TypeVar("_T")

MAX_BLOCK_BYTES: Final = 32 << 10
"""As it comes,"""
MAX_LIST_BYTES: Final = 64 << 10
"""and unpacked, with 32 bytes more for each field (RFC 9113, 6.5.2)."""
KNOWN_BLOCKS: Final = 32
KNOWN_BYTES: Final = 512
"""Longer ones are decoded each time: what a connection may keep is bounded."""

_SIZE_UPDATE: Final = 0x20
_SIZE_UPDATE_MASK: Final = 0xE0


class _Table(HeaderTable):
    """Counts its changes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class BlockReader(Generic[_T]):
    """Of one connection. `interpret` makes of the fields what the application wants to know."""

    def __init__(self, interpret: Callable[[Sequence[Field]], _T]) -> None:
        self._interpret = interpret
        self._decoder = Decoder(MAX_LIST_BYTES)
        self._decoder.header_table = self._table = _Table()
        self._known: dict[bytes, _T] = {}

    def read(self, block: bytes) -> _T:
        """Raises what `decode` and `interpret` raise."""
        known = self._known.get(block)
        if known is not None:
            return known
        changes = self._table.changes
        result = self._interpret(self.decode(block))
        if changes == self._table.changes and len(block) <= KNOWN_BYTES:
            if len(self._known) >= KNOWN_BLOCKS:
                self._known.clear()
            self._known[block] = result
        return result

    def decode(self, block: bytes) -> Sequence[Field]:
        """The fields. Raises ConnectionFault: who has missed one block understands none of the others."""
        changes = self._table.changes
        if block and block[0] & _SIZE_UPDATE_MASK == _SIZE_UPDATE:
            self._table.changes += 1
        try:
            fields: Sequence[Field] = list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, f"the headers are longer than {MAX_LIST_BYTES} bytes"
            ) from None
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"malformed header block: {error}") from None
        if changes != self._table.changes:
            self._known.clear()  # the same bytes may mean something else now
        return fields


def make_block(fields: Sequence[Field]) -> bytes:
    """Literals without indexing and without Huffman codes: the same bytes on every connection. Lengths below 16 KiB."""
    return b"".join([b"\0" + _make_string(name) + _make_string(value) for name, value in fields])


def _make_string(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    size -= 127
    return (bytes([127, size]) if size < 128 else bytes([127, size & 0x7F | 0x80, size >> 7])) + text
