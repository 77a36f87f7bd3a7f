"""Clients send pictures as files: decoded, and where that is asked for resized, on their way to the engine."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Final

import numpy as np

from vinoserve_api.v1alpha1 import CHANNELS
from vinoserve_runtime.engine.decoding import BadPictureError, Picture
from vinoserve_runtime.engine.resizing import resize
from vinoserve_runtime.model.preprocess import Encoded
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.signature import label
from vinoserve_runtime.tensors import NUMPY_DTYPES, Array, Engine, TensorInfo

_THREADS: Final = len(os.sched_getaffinity(0))


class ImagesEngine:
    """An engine whose `encoded` inputs are BYTES, a file an element. Decodes in threads: Pillow lets go of the GIL."""

    def __init__(self, inner: Engine, encoded: Sequence[Encoded], max_pixels: int) -> None:
        """`max_pixels`: of a picture as it was sent, and of all pictures of a request as the model gets them."""
        self._inner = inner
        self._encoded = encoded
        self._max_pixels = max_pixels
        by_index = {item.index: item for item in encoded}
        self._inputs = tuple(
            _make_info(info) if index in by_index else info for index, info in enumerate(inner.inputs)
        )
        self._threads = ThreadPoolExecutor(_THREADS, "decode")

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._inner.outputs

    @property
    def size(self) -> int:
        """Some are decoded while others are inferred."""
        return self._inner.size + _THREADS

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See `tensors.Engine`."""
        given_up = Event()
        try:
            decoded = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._decode, tensors, given_up.is_set
            )
        finally:
            given_up.set()
        return await self._inner.infer(decoded)

    def _decode(self, tensors: Sequence[Array], is_given_up: Callable[[], bool]) -> list[Array]:
        arrays = list(tensors)
        for item in self._encoded:
            arrays[item.index] = self._make_batch(item, tensors[item.index].tolist(), is_given_up)
        return arrays

    def _make_batch(self, item: Encoded, files: list[bytes], is_given_up: Callable[[], bool]) -> Array:
        """[N, H, W, C]. Nothing is decoded before all heads are read and found right."""
        info = self._inner.inputs[item.index]
        pictures: list[Picture] = []
        for number, file in enumerate(files):
            try:
                pictures.append(Picture(file, self._max_pixels))
            except BadPictureError as error:
                raise _refuse(info, number, str(error)) from None
        height, width = self._find_size(item, info, pictures)
        if len(files) * height * width > self._max_pixels:
            raise InvalidRequestError(
                f"{label('input', info.name)}: {len(files)} pictures of {height} x {width} have more pixels than "
                f"limits.maxImagePixels, {self._max_pixels}; send fewer in a request"
            )
        channels = CHANNELS[item.color_format]
        batch = np.empty((len(files), height, width, channels), NUMPY_DTYPES[info.datatype])
        for number, picture in enumerate(pictures):
            if is_given_up():
                break
            try:
                pixels = picture.decode(item.color_format)
            except BadPictureError as error:
                raise _refuse(info, number, str(error)) from None
            batch[number] = resize(pixels, height, width, item.resize) if item.resize else pixels
        return batch

    def _find_size(self, item: Encoded, info: TensorInfo, pictures: Sequence[Picture]) -> tuple[int, int]:
        """Height and width of what the model gets. Raises InvalidRequestError where a picture has another."""
        rows, columns = info.bounds[1:3]
        if item.resize or not pictures:
            return rows[0], columns[0]
        first = pictures[0].height, pictures[0].width
        for number, picture in enumerate(pictures):
            size = picture.height, picture.width
            if not (_is_within(size[0], rows) and _is_within(size[1], columns)):
                raise _refuse(
                    info,
                    number,
                    f"is {size[0]} x {size[1]} (height x width), but the model takes {_shown(rows)} x {_shown(columns)}",
                )
            if size != first:
                raise _refuse(
                    info,
                    number,
                    f"is {size[0]} x {size[1]} (height x width), but the first is {first[0]} x {first[1]}; send "
                    "pictures of one size in a request",
                )
        return first


def _make_info(info: TensorInfo) -> TensorInfo:
    least, most = info.bounds[0]
    return replace(
        info,
        datatype="BYTES",
        shape=(info.shape[0],),
        bounds=((max(1, least), most),),
        buckets=(),
        is_base64=True,
    )


def _refuse(info: TensorInfo, number: int, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"{label('input', info.name)}: element {number} {why}")


def _is_within(size: int, bounds: tuple[int, int | None]) -> bool:
    return bounds[0] <= size and (bounds[1] is None or size <= bounds[1])


def _shown(bounds: tuple[int, int | None]) -> str:
    least, most = bounds
    return str(least) if least == most else f"{least}.." if most is None else f"{least}..{most}"
