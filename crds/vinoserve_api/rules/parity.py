"""`spec.parity`: what is compared, and where it is found."""

import re
from collections.abc import Iterator
from typing import Final

from vinoserve_api.fields import cel_text, quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import Parity

ONE_OF: Final = "write either samples or random: an .npz file beside the model, or how many random samples"
BESIDE: Final = (
    "is not a path beside the model; write one relative to its folder, such as samples.npz or samples"
)

_PATH: Final = r"^[^/\\\s]+(/[^/\\\s]+)*/?$"
_UP: Final = r"(^|/)\.\.?(/|$)"


def check_parity(parity: Parity | None) -> Iterator[Problem]:
    if parity is None:
        return
    if (parity.samples is None) == (parity.random is None):
        yield Problem("spec.parity", ONE_OF)
    if parity.samples is not None and (
        not re.search(_PATH, parity.samples) or re.search(_UP, parity.samples)
    ):
        yield Problem("spec.parity.samples", f"{quoted(parity.samples)} {BESIDE}")


# --- the same in CEL

CEL: Final = (
    CelRule("spec.parity", "has(self.samples) != has(self.random)", ONE_OF),
    CelRule(
        "spec.parity.samples",
        f"self.matches({cel_text(_PATH)}) && !self.matches({cel_text(_UP)})",
        BESIDE,
    ),
)
