"""Pictures in NV12 and I420: which planes clients send, how large each is, and whether they fit together (pure).

A picture of H x W is a plane of brightness, H x W, and colours of a quarter of that: NV12 has both colours side by side,
I420 has a plane for each. In a single plane the colours follow the brightness, H * 3/2 rows in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Range = tuple[int, int | None]
"""The smallest and the largest size of a dimension; None: any."""

_PLANES: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "NV12_SINGLE_PLANE": (("", 1),),
    "NV12_TWO_PLANES": (("/y", 1), ("/uv", 2)),
    "I420_SINGLE_PLANE": (("", 1),),
    "I420_THREE_PLANES": (("/y", 1), ("/u", 1), ("/v", 1)),
}
"""What each plane adds to the input's name, and its channels."""


@dataclass(frozen=True)
class Planes:
    """Inputs that together are pictures: those from `first` on, NHWC, as many as the format has planes."""

    first: int
    color_format: str

    @property
    def inputs(self) -> slice:
        return slice(self.first, self.first + len(_PLANES[self.color_format]))

    def fit(self, first: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes of all planes, of the largest picture that a first plane of this shape holds."""
        batch, rows, columns, _ = first
        columns -= columns % 2
        if is_single(self.color_format):
            return [(batch, rows - rows % 3, columns, 1)]
        rows -= rows % 2
        return [
            (batch, rows // 2, columns // 2, channels) if number else (batch, rows, columns, channels)
            for number, (_, channels) in enumerate(_PLANES[self.color_format])
        ]

    def explain_misfit(self, shapes: Sequence[tuple[int, ...]]) -> tuple[int, str] | None:
        """Which plane doesn't fit and what would, None where all do; `shapes`: of each plane, within its bounds."""
        fitting = self.fit(shapes[0])
        if shapes[0] != fitting[0]:
            if is_single(self.color_format):
                return 0, f"{self.color_format} takes rows in threes (H * 3/2 of a picture) and an even width"
            return 0, f"{self.color_format} takes pictures of even height and width"
        for number, (shape, wanted) in enumerate(zip(shapes, fitting, strict=True)):
            if shape != wanted:
                return number, f"beside a first plane of {list(shapes[0])} it is {list(wanted)}"
        return None


def is_single(color_format: str) -> bool:
    return len(_PLANES[color_format]) == 1


def make_names(name: str, color_format: str) -> tuple[str, ...]:
    """The inputs that clients see: `x/y` and `x/uv`."""
    return tuple(name + suffix for suffix, _ in _PLANES[color_format])


def make_even(sizes: Range) -> Range | None:
    """The even sizes among `sizes`, from 2; None where there are none."""
    low = max(2, sizes[0] + sizes[0] % 2)
    high = None if sizes[1] is None else sizes[1] - sizes[1] % 2
    return None if high is not None and high < low else (low, high)


def picture_rows(color_format: str, sent: Range) -> Range:
    """The heights of pictures whose first plane has `sent` rows; may be empty."""
    if not is_single(color_format):
        return sent
    return -(-sent[0] // 3) * 2, None if sent[1] is None else sent[1] // 3 * 2


def plane_rows(color_format: str, height: int) -> int:
    """The rows of a picture's first plane."""
    return height * 3 // 2 if is_single(color_format) else height


def plane_shapes(color_format: str, batch: Range, height: Range, width: Range) -> list[tuple[Range, ...]]:
    """NHWC of each plane; `height` and `width` are even and the picture's."""
    if is_single(color_format):
        return [(batch, _times(height, 3, 2), width, (1, 1))]
    half = _times(height, 1, 2), _times(width, 1, 2)
    return [
        (batch, *(half if number else (height, width)), (channels, channels))
        for number, (_, channels) in enumerate(_PLANES[color_format])
    ]


def _times(sizes: Range, factor: int, divisor: int) -> Range:
    low, high = sizes
    return low * factor // divisor, None if high is None else high * factor // divisor
