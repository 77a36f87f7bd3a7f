"""Requests whose datatype, shape and length don't belong together, for every datatype and some shapes."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from tests.runtime.rest.serving import FakeEngine, tensor
from vinoserve_runtime.tensors import NUMPY_DTYPES


@dataclass(frozen=True)
class Case:
    name: str
    """Of the input."""
    datatype: str
    shape: list[int]
    raw: bytes
    values: list[Any]
    """The same, as far as possible, as JSON has it."""

    def __str__(self) -> str:
        return f"{self.name} as {self.datatype} {self.shape} of {len(self.raw)} bytes"


def make_engine() -> FakeEngine:
    """An input of every datatype, of shape [2, 1..3]; asked with one of them it misses the others, and says so last."""
    infos = [tensor(f"in_{datatype}", datatype, 2, (1, 3)) for datatype in NUMPY_DTYPES]
    return FakeEngine(infos, infos, list)


def make_raw(datatype: str, count: int) -> bytes:
    return bytes(count * (4 if datatype == "BYTES" else NUMPY_DTYPES[datatype].itemsize))


def make_values(datatype: str, count: int) -> list[Any]:
    return [{"BYTES": "", "BOOL": False}.get(datatype, 0)] * count


def make_cases() -> Iterator[Case]:
    for taken in NUMPY_DTYPES:
        name = f"in_{taken}"
        for datatype in (*NUMPY_DTYPES, "FP8", ""):
            if datatype != taken:
                yield Case(name, datatype, [2, 2], make_raw(taken, 4), make_values(taken, 4))
        for shape in (
            [],
            [4],
            [2, 2, 1],
            [2, 4],
            [1, 2],
            [2, 0],
            [2, -1],
            [2, 2**31],
            [2**31, 2**31],
            [2**63 - 1, 2],
        ):
            count = prod(shape) if 0 <= prod(shape) < 100 else 4
            yield Case(name, taken, shape, make_raw(taken, count), make_values(taken, count))
        whole = make_raw(taken, 4)
        for raw, count in ((whole[:-1], 3), (whole + b"\0", 5), (b"", 0), (whole * 2, 8)):
            yield Case(name, taken, [2, 2], raw, make_values(taken, count))
    for raw in (
        b"\xff\xff\xff\xff" * 4,
        b"\x01\0\0\0" * 4,
        b"\0\0\0\x80" + bytes(12),
        bytes(15),
        bytes(12) + b"\x01\0\0\0",
    ):
        yield Case("in_BYTES", "BYTES", [2, 2], raw, [""])


def make_value_cases() -> Iterator[Case]:
    """What only JSON can say wrong."""
    for datatype in NUMPY_DTYPES:
        wrong = ["NaN", None, [], {}, "1", True]
        if datatype in {"BYTES", "BOOL"}:
            wrong = [None, [], {}, 1.5, 2]
        for value in wrong:
            yield Case(f"in_{datatype}", datatype, [2, 2], b"", [*make_values(datatype, 3), value])
