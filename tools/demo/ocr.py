"""What a text recogniser needs around it: a picture of a line of text, and the text from what the model says.

Pure, but for Pillow's own font. The model is PP-OCRv4's recogniser: a picture of a line, 48 pixels high, to one
probability a character for every eighth column (CTC).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH = 48, 640  # pixels of the model's input, as the InferenceService gives it
FONT_SIZES = range(32, 21, -2)  # the largest that fits is taken
MARGIN = 4
GRAY = 128

Picture = npt.NDArray[np.uint8]


class TextError(ValueError):
    """The text can't be drawn; the message says what can."""


@dataclass(frozen=True)
class Reading:
    text: str
    confidence: float  # mean probability of the characters read, 0 to 1; 0 where there is none


def read_alphabet(metadata: str) -> tuple[str, ...]:
    """The model's classes, from `character` of its metadata: CTC's blank first, a space last."""
    return ("", *metadata.splitlines(), " ")


def draw_line(text: str, alphabet: Sequence[str]) -> Picture:
    """One line of black text on white, u8 [HEIGHT, WIDTH, 3]. Raises TextError."""
    text = " ".join(text.split())
    if not text:
        raise TextError("TEXT is empty: write something to read")
    if unknown := sorted(set(text) - set(alphabet)):
        raise TextError(f"TEXT has characters that the model doesn't know: {' '.join(unknown)}")
    room = WIDTH - 2 * MARGIN
    fonts = [ImageFont.load_default(size) for size in FONT_SIZES]
    if unknown := sorted({c for c in text if not has_glyph(fonts[0], c)}):
        raise TextError(
            f"TEXT has characters that this font lacks (it has Latin letters): {' '.join(unknown)}"
        )
    font = next((font for font in fonts if font.getlength(text) <= room), None)
    if font is None:
        fits = max(n for n in range(len(text)) if fonts[-1].getlength(text[:n]) <= room)
        raise TextError(f"TEXT is too long for one line: {fits} of its {len(text)} characters fit")
    length = font.getlength(text)
    # gray behind the end of the line, as in the model's training: it is what becomes zero
    picture = Image.new("RGB", (WIDTH, HEIGHT), (GRAY, GRAY, GRAY))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, round(length) + 2 * MARGIN, HEIGHT), fill="white")
    draw.text((MARGIN, HEIGHT / 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(picture)


def has_glyph(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, character: str) -> bool:
    """Whether the font draws this character and not the box that stands for what it lacks."""
    missing = font.getmask("\ufffe")
    drawn = font.getmask(character)
    return character == " " or (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def decode(probabilities: npt.NDArray[np.float32], alphabet: Sequence[str]) -> Reading:
    """Greedy CTC: the best class of each step, repeats merged, blanks dropped. `probabilities`: [steps, classes]."""
    best = probabilities.argmax(axis=1)
    changed = np.concatenate([[True], best[1:] != best[:-1]])
    steps = np.flatnonzero(changed & (best != 0))
    if not len(steps):
        return Reading("", 0.0)
    text = "".join(alphabet[index] for index in best[steps]).strip()
    return Reading(text, float(probabilities[steps, best[steps]].mean()))
