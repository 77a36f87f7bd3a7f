"""Trouble that the fake API server makes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


class ApiError(Exception):
    def __init__(self, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers or {}


@dataclass
class Faults:
    """What requests are answered with trouble: the shares are of all but watches."""

    seed: int = 0
    shares: dict[int, float] = field(default_factory=dict)
    lost: float = 0
    """Of writes that are done while the connection is cut before the answer."""

    refuse: Callable[[str, str], ApiError | None] = lambda method, path: None
    """Asked first: (method, path)."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def ask(self, method: str, path: str) -> None:
        if refused := self.refuse(method, path):
            raise refused

    def draw(self, method: str, path: str) -> None:
        self.ask(method, path)
        drawn = self._random.random()
        for code, share in self.shares.items():
            drawn -= share
            if drawn < 0:
                raise ApiError(code, f"injected {code}", {"Retry-After": "1"} if code == 429 else {})

    def loses(self) -> bool:
        return self._random.random() < self.lost
