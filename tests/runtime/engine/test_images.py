"""Pictures as files: what becomes of every kind of JPEG and PNG, and of whatever else is sent."""

import asyncio
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.models import write_identity
from tests.runtime.configs import make_config
from tests.runtime.engine.compiling import F32, compile_file, make_pool
from tests.runtime.pictures import encode, files
from vinoserve_runtime.engine.decoding import BadPictureError, Picture
from vinoserve_runtime.engine.images import ImagesEngine
from vinoserve_runtime.engine.pictures import take_pictures
from vinoserve_runtime.engine.resizing import resize
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.model.preprocess import Encoded
from vinoserve_runtime.ov import ov
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.tensors import Array, Engine, TensorInfo

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (4, 6, 3), np.uint8)
LIMIT = 10_000


def make_engine(path: Path, **fields: Any) -> Engine:
    entry = {"name": "x", "layout": "NCHW", **fields}
    entry["client"] = {"encoding": "image", **fields.get("client", {})}
    model = compile_file(path, inputs=[entry], hints=F32)
    return take_pictures(
        make_pool(model, 1), prepare_model(ov.Core(), path, make_config(path, inputs=[entry])), LIMIT
    )


def decode(file: bytes, color_format: str = "RGB") -> np.ndarray:
    return Picture(file, LIMIT).decode(color_format)


def save(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


async def test_metadata_says_bytes_and_takes_them(tmp_path: Path) -> None:
    engine = make_engine(write_identity(tmp_path / "m.xml", [1, 3, 4, 6]))
    assert engine.inputs == (TensorInfo("x", "BYTES", (1,), ((1, 1),), is_base64=True),)
    (got,) = await engine.infer([files(encode(RGB))])
    np.testing.assert_array_equal(got, RGB.transpose(2, 0, 1)[None])


async def test_a_batch_of_any_size(tmp_path: Path) -> None:
    engine = make_engine(write_identity(tmp_path / "m.xml", [-1, 3, 4, 6]))
    assert engine.inputs[0].shape == (-1,)
    assert engine.inputs[0].bounds == ((1, None),)
    (got,) = await engine.infer([files(*[encode(RGB)] * 3)])
    np.testing.assert_array_equal(got, [RGB.transpose(2, 0, 1)] * 3)


@pytest.mark.parametrize("method", ["linear", "cubic", "nearest"])
async def test_each_picture_is_resized_by_itself(tmp_path: Path, method: str) -> None:
    path = write_identity(tmp_path / "m.xml", [-1, 3, 5, 7])
    engine = make_engine(
        path,
        client={"colorFormat": "BGR"},
        model={"colorFormat": "RGB"},
        resize=method,
        mean=[1.0, 2.0, 3.0],
        scale=[2.0],
    )
    sent = [RNG.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((4, 6), (9, 3), (5, 7))]
    (got,) = await engine.infer([files(*[encode(picture) for picture in sent])])
    wanted = [(resize(picture, 5, 7, method) - [1, 2, 3]) / 2 for picture in sent]
    np.testing.assert_allclose(got, np.transpose(wanted, (0, 3, 1, 2)), atol=1e-3)


async def test_a_model_of_any_size_takes_pictures_of_one(tmp_path: Path) -> None:
    engine = make_engine(write_identity(tmp_path / "m.xml", [-1, 3, -1, -1]))
    (got,) = await engine.infer([files(encode(RGB), encode(RGB[:, ::-1]))])
    assert got.shape == (2, 3, 4, 6)
    with pytest.raises(InvalidRequestError, match=r'"x": element 1 is 4 x 5 .* the first is 4 x 6'):
        await engine.infer([files(encode(RGB), encode(RGB[:, :5]))])


async def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    engine = make_engine(write_identity(tmp_path / "m.xml", [-1, 3, 4, 6]))
    with pytest.raises(InvalidRequestError, match=r'"x": element 1 is 6 x 4 .* the model takes 4 x 6'):
        await engine.infer([files(encode(RGB), encode(RGB.transpose(1, 0, 2)))])


async def test_all_pictures_together_have_a_limit(tmp_path: Path) -> None:
    """Else a few bytes a picture would fill the memory."""
    engine = make_engine(write_identity(tmp_path / "m.xml", [-1, 3, 64, 64]), resize="linear")
    assert len((await engine.infer([files(*[encode(RGB)] * 2)]))[0]) == 2
    with pytest.raises(InvalidRequestError, match=r"3 pictures of 64 x 64 .*limits.maxImagePixels"):
        await engine.infer([files(*[encode(RGB)] * 3)])


@pytest.mark.parametrize("color_format", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK", "jpeg-L", "jpeg-RGB"]
)
def test_every_mode_becomes_the_colour_asked_for(mode: str, color_format: str) -> None:
    picture = Image.fromarray(RGB)
    if mode == "I;16":
        gray = np.asarray(picture.convert("L"))
        file = save(Image.fromarray(gray.astype(np.uint16) * 256 + 99))
        wanted = np.repeat(gray[..., None], 3, 2)
    elif mode == "CMYK":
        file = save(picture.convert("CMYK"), "JPEG")
        wanted = np.asarray(Image.open(BytesIO(file)).convert("RGB"))
    elif mode.startswith("jpeg"):
        file = save(picture.convert(mode.removeprefix("jpeg-")), "JPEG")
        wanted = np.asarray(Image.open(BytesIO(file)).convert("RGB"))
    elif mode in {"P", "PA"}:
        palette = picture.quantize(8)
        file = save(palette, transparency=bytes([0, 128])) if mode == "PA" else save(palette)
        wanted = np.asarray(palette.convert("RGB"))
    else:
        image = picture.convert(mode)
        if mode.endswith("A"):
            image.putalpha(Image.fromarray(RGB[..., 0]))
        file, wanted = save(image), np.asarray(image.convert("RGB"))
    got = decode(file, color_format)
    assert got.dtype == np.uint8
    if color_format == "GRAY":
        assert got.shape == (4, 6, 1)
        np.testing.assert_allclose(
            got[..., 0], np.asarray(Image.fromarray(wanted).convert("L")).astype(int), atol=1
        )
    else:
        np.testing.assert_array_equal(got, wanted if color_format == "RGB" else wanted[..., ::-1])


@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_stands_upright(orientation: int) -> None:
    """As the camera meant it; 0 and 9 mean nothing."""
    flat = np.zeros((16, 32, 3), np.uint8)
    flat[:8, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(Image.fromarray(flat), "JPEG", exif=exif.tobytes(), quality=95)
    picture = Picture(file, LIMIT)
    got = picture.decode("GRAY")[..., 0] > 127
    upright = [
        lambda a: a, lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1, ::-1], lambda a: a[::-1], lambda a: a.T,
        lambda a: np.rot90(a, -1), lambda a: a[::-1, ::-1].T, np.rot90, lambda a: a,
    ][orientation]  # fmt: skip
    assert (picture.height, picture.width) == got.shape
    np.testing.assert_array_equal(got, upright(flat[..., 0] > 127))


def make_bomb(width: int, height: int) -> bytes:
    """A PNG that says it is large and has nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", ["is empty"]),
        (b"hello", ["neither JPEG nor PNG"]),
        (save(Image.fromarray(RGB), "GIF"), ["is a GIF"]),
        (save(Image.fromarray(RGB), "TIFF"), ["is a TIFF"]),
        (save(Image.fromarray(RGB), "BMP"), ["is a BMP"]),
        (save(Image.fromarray(RGB), "WEBP"), ["is a WebP"]),
        (b'<?xml version="1.0"?><svg/>', ["SVG"]),
        (b"iVBORw0KGgo=", ["base64", "JSON"]),
        (encode(RGB)[:40], ["can't be", "whole"]),
        (encode(RGB)[:-40], ["can't be decoded", "whole"]),
        (encode(RGB, "JPEG")[:200], ["can't be", "whole"]),
        (make_bomb(101, 100), ["100 x 101", "10100 pixels", "limits.maxImagePixels is 10000"]),
        (make_bomb(2**31 - 1, 2**31 - 1), ["limits.maxImagePixels"]),
        (make_bomb(9, 9), ["can't be decoded"]),
    ],
)
def test_what_is_no_picture_is_told_apart(file: bytes, words: Sequence[str]) -> None:
    with pytest.raises(BadPictureError) as caught:
        decode(file)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@given(data=st.data())
@settings(max_examples=200)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it reads all the same
def test_hostile_files_are_pictures_or_refused(kind: str, data: st.DataObject) -> None:
    file = bytearray(encode(RGB, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    with suppress(BadPictureError):
        picture = Picture(cut, LIMIT)
        assert picture.decode("RGB").shape == (picture.height, picture.width, 3)


async def test_the_element_is_named(tmp_path: Path) -> None:
    engine = make_engine(write_identity(tmp_path / "m.xml", [-1, 3, 4, 6]), resize="linear")
    with pytest.raises(
        InvalidRequestError, match=r'^input "x": element 2 is a GIF; send a JPEG or PNG file$'
    ):
        await engine.infer([files(encode(RGB), encode(RGB), b"GIF89a")])


class Waiting:
    """An engine that waits to be let go."""

    inputs = (TensorInfo("x", "UINT8", (-1, 4, 6, 3), ((0, None), (4, 4), (6, 6), (3, 3))),)
    outputs = ()
    size = 1

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.go = asyncio.Event()

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        self.asked.release()
        await self.go.wait()
        return list(tensors)


async def test_pictures_are_decoded_while_others_are_inferred() -> None:
    inner = Waiting()
    engine = ImagesEngine(inner, [Encoded(0, "RGB", None)], LIMIT)
    assert engine.size > inner.size
    tasks = [asyncio.create_task(engine.infer([files(encode(RGB))])) for _ in range(engine.size)]
    async with asyncio.timeout(60):
        for _ in tasks:
            await inner.asked.acquire()
        inner.go.set()
        for (got,) in await asyncio.gather(*tasks):
            np.testing.assert_array_equal(got, [RGB])


async def test_a_caller_who_goes_away_leaves_nothing_behind() -> None:
    inner = Waiting()
    engine = ImagesEngine(inner, [Encoded(0, "RGB", None)], LIMIT)
    task = asyncio.create_task(engine.infer([files(*[encode(RGB)] * 50)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.asked.locked()
    inner.go.set()
    assert len(await engine.infer([files(encode(RGB))])) == 1
