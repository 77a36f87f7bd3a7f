"""What is wrong with an object: where, what, and what would be right."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from vinoserve_api.conditions import AcceptedReason

_REASONS = (
    ("spec.targetDevice", AcceptedReason.INVALID_DEVICE),
    ("spec.properties", AcceptedReason.INVALID_PROPERTY),
    ("spec.uncheckedProperties", AcceptedReason.INVALID_PROPERTY),
)


@dataclass(frozen=True)
class Problem:
    """`path` in wire form (`spec.model.inputs[0].shape[2]`); `message` says what is wrong and what would be right."""

    path: str
    message: str

    @property
    def reason(self) -> AcceptedReason:
        """The reason of the condition Accepted."""
        return next(
            (r for prefix, r in _REASONS if self.path.startswith(prefix)), AcceptedReason.INVALID_SPEC
        )

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidObject(ValueError):  # noqa: N818 - it names what the object is
    """An object that is not what its schema and the rules allow. `str()` is a line per problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_of(parts: Iterable[str | int], base: str = "") -> str:
    """`("spec", "inputs", 0, "a/b")` as `spec.inputs[0]["a/b"]`."""
    path = base
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", part):
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part, ensure_ascii=False)}]"
    return path
