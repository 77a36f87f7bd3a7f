import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.demo.ocr import GRAY, HEIGHT, WIDTH, Reading, TextError, decode, draw_line, read_alphabet

ALPHABET = read_alphabet("\n".join("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'你"))


def spell(*classes: int) -> np.ndarray:
    """Probabilities as the model gives them: 0.9 for each of these classes in turn."""
    steps = np.full((len(classes), len(ALPHABET)), 0.1 / (len(ALPHABET) - 1), np.float32)
    steps[np.arange(len(classes)), classes] = 0.9
    return steps


def measure_ink(picture: np.ndarray) -> int:
    """Rows with ink."""
    return int((picture < 64).any(axis=(1, 2)).sum())


def test_the_alphabet_has_blank_first_and_space_last() -> None:
    assert read_alphabet("a\nb") == ("", "a", "b", " ")


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("a", (1,)),
        ("a", (0, 1, 1, 0)),
        ("aa", (1, 0, 1)),
        ("ab", (1, 1, 2, 2, 2)),
        ("b a", (2, len(ALPHABET) - 1, 1)),
    ],
)
def test_repeats_are_merged_and_blanks_dropped(text: str, classes: tuple[int, ...]) -> None:
    reading = decode(spell(*classes), ALPHABET)
    assert reading.text == text
    assert reading.confidence == pytest.approx(0.9)


def test_nothing_read_is_no_text_and_not_sure() -> None:
    assert decode(spell(0, 0, 0), ALPHABET) == Reading("", 0.0)


@given(st.text(alphabet=ALPHABET[1:-1], min_size=1, max_size=30))
def test_what_is_spelled_is_read(text: str) -> None:
    classes = [c for character in text for c in (ALPHABET.index(character), 0)]
    assert decode(spell(*classes), ALPHABET).text == text


def test_a_picture_has_the_models_size_and_ends_in_gray() -> None:
    picture = draw_line("Hello", ALPHABET)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert (picture[:, -1] == GRAY).all()
    assert picture.min() < 64, "there is ink on it"


def test_white_space_does_not_count() -> None:
    assert (draw_line("  two\twords\n", ALPHABET) == draw_line("two words", ALPHABET)).all()


def test_a_longer_line_gets_a_smaller_font() -> None:
    short, long = (draw_line(text, ALPHABET) for text in ("w", "w" * 32))
    assert measure_ink(long) < measure_ink(short)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "TEXT is empty"),
        (" \n", "TEXT is empty"),
        ("Grüße", "the model doesn't know: ß ü"),
        ("你", "this font lacks .*你"),
        ("w" * 200, "too long for one line: [0-9]+ of its 200 characters fit"),
    ],
)
def test_what_can_not_be_drawn_is_named(text: str, said: str) -> None:
    with pytest.raises(TextError, match=said):
        draw_line(text, ALPHABET)
