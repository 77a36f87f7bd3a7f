"""Requests that are alike but for their tensors' bytes: how to read one is worked out once.

A client sends the same names, shapes and order again and again. What comes around the tensors is compared, instead of parsed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vinoserve_runtime.grpc.codec import Encoder, Envelope, Request, decode, read_request
from vinoserve_runtime.grpc.messages import Message
from vinoserve_runtime.grpc.wire import locate_raw
from vinoserve_runtime.protocol.signature import Signature
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array

MAX_LAYOUTS: Final = 64
MAX_AROUND_BYTES: Final = 4 << 10
"""What may lie around the tensors."""
_UNCHECKED: Final = NUMPY_DTYPES.keys() - {"BYTES", "BOOL"}
"""Datatypes in which any bytes are right."""


@dataclass(frozen=True, slots=True)
class Layout:
    envelope: Envelope
    around: Sequence[tuple[int, int, bytes]]
    """From where, to where, and what is there."""
    tensors: Sequence[tuple["np.dtype[Any]", int, int, tuple[int, ...]]]
    """In the model's order: datatype, elements, where the first lies, and the shape."""

    def read(self, message: Message) -> list[Array] | None:
        """None where the message is another's."""
        for start, end, text in self.around:
            if message[start:end] != text:
                return None
        arrays = []
        for dtype, count, offset, shape in self.tensors:
            array = np.frombuffer(message, dtype, count, offset)
            arrays.append((array if array.flags.aligned else array.copy()).reshape(shape))
        return arrays


class Layouts:
    """Of the requests to one model, by their lengths."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._known: dict[int, Layout] = {}

    def read(self, message: Message) -> tuple[Envelope, list[Array]] | None:
        """None where no such request came before."""
        layout = self._known.get(len(message))
        tensors = None if layout is None else layout.read(message)
        return None if layout is None or tensors is None else (layout.envelope, tensors)

    def learn(
        self, message: Message, inputs: Sequence[int], envelope: Envelope, tensors: Sequence[Array]
    ) -> None:
        """From a request that was found right. `inputs`: which of the model's its tensors are, in their order.

        Nothing where the next one will be another anyway, or isn't read in a moment.
        """
        raws = locate_raw(message)
        signature = self._signature
        around = len(message) - sum(end - start for start, end in raws)
        if envelope.id or len(raws) != len(inputs) or around > MAX_AROUND_BYTES:
            return
        if not _UNCHECKED.issuperset(info.datatype for info in signature.inputs):
            return
        places = dict(zip(inputs, raws, strict=True))
        layout = Layout(
            envelope,
            list(_surroundings(message, raws)),
            [
                (NUMPY_DTYPES[info.datatype], tensors[index].size, places[index][0], tensors[index].shape)
                for index, info in enumerate(signature.inputs)
            ],
        )
        if len(self._known) >= MAX_LAYOUTS:
            self._known.clear()
        self._known[len(message)] = layout


def _surroundings(message: Message, raws: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, bytes]]:
    position = 0
    for start, end in [*raws, (len(message), 0)]:
        if start > position:
            yield position, start, bytes(message[position:start])
        position = end


class Codec:
    """Of one model: requests to tensors, and results to responses. `check_model`: whether a request is for it."""

    def __init__(
        self, name: str, version: str, signature: Signature, check_model: Callable[[Request], None]
    ) -> None:
        self.signature = signature
        self._check_model = check_model
        self._layouts = Layouts(signature)
        self.encode = Encoder(name, version, signature).encode

    def decode(self, message: Message) -> tuple[Envelope, list[Array]]:
        """The arrays are in the model's order. Raises InvalidRequestError naming what is wrong, and what `check_model` does."""
        known = self._layouts.read(message)
        if known is not None:
            return known
        request = read_request(message)
        self._check_model(request)
        envelope, inputs, tensors = decode(self.signature, request)
        self._layouts.learn(message, inputs, envelope, tensors)
        return envelope, tensors
