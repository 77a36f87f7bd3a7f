"""JPEG and PNG files to arrays. Files come from clients: whatever is in them, the worst is an error that says so.

Imports Pillow: only servers that decode import this.
"""

from contextlib import suppress
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image

from vinoserve_runtime.tensors import Array

_SIGNATURES: Final = (
    (b"GIF8", "a GIF"),
    (b"RIFF", "a WebP"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"<", "text, such as SVG"),
    (b"%PDF", "a PDF"),
    (b"/9j/", "base64, which is for JSON alone"),
    (b"iVBOR", "base64, which is for JSON alone"),
)
"""How files begin that are sent by mistake."""
_RIGHT: Final = "send a JPEG or PNG file"
#: EXIF's orientations from 2 on as Pillow's transpositions; the last four let height and width change places.
_TURNS: Final = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
_ORIENTATION_TAG: Final = 0x0112


Image.MAX_IMAGE_PIXELS = None  # the limit is the spec's, and checked here
Image.preinit()


class BadPictureError(Exception):
    """Says what is wrong with a file, and what would be right."""


class Picture:
    """A file of which the head is read: its size is known, and nothing decoded."""

    def __init__(self, file: bytes, max_pixels: int) -> None:
        """Raises BadPictureError for what is no JPEG or PNG, or has more than `max_pixels`."""
        try:
            self._image: Any = Image.open(BytesIO(file), formats=("JPEG", "PNG"))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a decoder that stumbles over hostile bytes raises anything
            raise BadPictureError(_explain(file, error)) from None
        self._turn = self._read_turn()
        width, height = self._image.size
        if width * height > max_pixels:
            raise BadPictureError(
                f"is {height} x {width}, {width * height} pixels, but limits.maxImagePixels is {max_pixels}; "
                "send a smaller picture"
            )
        is_on_side = self._turn in _TURNS[3:]
        self.height, self.width = (width, height) if is_on_side else (height, width)

    def decode(self, color_format: str) -> Array:
        """[H, W, C] of u8, upright. `color_format`: RGB, BGR or GRAY. Raises BadPictureError."""
        try:
            self._image.load()
            image = self._image if self._turn is None else self._image.transpose(self._turn)
            pixels = _convert(image, "L" if color_format == "GRAY" else "RGB")
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001
            why = " ".join(str(error).split())[:100]
            raise BadPictureError(f"can't be decoded ({why}); {_RIGHT} that is whole") from None
        finally:
            self._image.close()
        return pixels[..., ::-1] if color_format == "BGR" else pixels

    def _read_turn(self) -> Image.Transpose | None:
        """How a camera was held. Of JPEG alone: PNG may say it after the pixels, which are not to be read yet."""
        if self._image.format == "PNG":
            return None
        with suppress(Exception):  # orientation is a courtesy; what is broken says nothing
            orientation = int(self._image.getexif().get(_ORIENTATION_TAG, 1))
            if 2 <= orientation <= len(_TURNS) + 1:
                return _TURNS[orientation - 2]
        return None


def _convert(image: Any, mode: str) -> Array:
    """Transparency is left out, and of 16 bits the upper 8 are taken: as OpenCV does it."""
    if image.mode.startswith("I"):
        gray = (np.asarray(image) >> 8).astype(np.uint8)[..., None]
        return gray if mode == "L" else np.repeat(gray, 3, axis=2)
    if image.mode in {"P", "PA"}:
        image = image.convert("RGBA")
    pixels: Array = np.asarray(image.convert(mode))
    return pixels[..., None] if mode == "L" else pixels


def _explain(file: bytes, error: Exception) -> str:
    if not file:
        return f"is empty; {_RIGHT}"
    head = file.lstrip()[:16]
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            return f"is {what}; {_RIGHT}"
    if file.startswith((b"\xff\xd8", b"\x89PNG")):
        return f"can't be read ({type(error).__name__}); {_RIGHT} that is whole"
    return f"is neither JPEG nor PNG; {_RIGHT}"
