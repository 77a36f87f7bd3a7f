"""Outputs: the layout that clients get beside the one that the model gives."""

from collections.abc import Iterator

from vinoserve_api.fields import quoted
from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.shapes import REPEATED, is_repeated
from vinoserve_api.v1alpha1 import Output

LAYOUT_ALONE = "the model's layout is there to be converted: set layout to what clients get"
LETTERS = "has other dimensions than the model's layout; write the same letters in clients' order"
UNNAMED = "several '?' can't be told apart; name them"


def check_output(output: Output) -> Iterator[Problem]:
    own = output.model.layout if output.model else None
    forms = [
        Problem(path, f"{quoted(layout)}: {REPEATED}")
        for path, layout in (("layout", output.layout), ("model.layout", own))
        if is_repeated(layout)
    ]
    yield from forms
    if own is None or forms:
        return
    if output.layout is None:
        yield Problem("layout", LAYOUT_ALONE)
    elif sorted(output.layout) != sorted(own):
        yield Problem("layout", f"{quoted(output.layout)} {LETTERS} ({own})")
    elif output.layout != own and own.count("?") > 1:
        yield Problem("layout", f"{quoted(output.layout)}: {UNNAMED}")


# --- the same in CEL

_ITEM = "spec.model.outputs[]"
_BOTH = "has(self.layout) && has(self.model) && has(self.model.layout)"

CEL = (
    *(
        CelRule(
            f"{_ITEM}.{path}",
            "self.split('').all(l, l == '?' || self.indexOf(l) == self.lastIndexOf(l))",
            REPEATED,
        )
        for path in ("layout", "model.layout")
    ),
    CelRule(
        _ITEM, "!has(self.model) || !has(self.model.layout) || has(self.layout)", LAYOUT_ALONE, ".layout"
    ),
    CelRule(
        _ITEM,
        f"!({_BOTH}) || size(self.layout) == size(self.model.layout)"
        " && self.layout.split('').all(l, self.model.layout.contains(l))"
        " && self.model.layout.split('').all(l, self.layout.contains(l))",
        f"layout {LETTERS}",
        ".layout",
    ),
    CelRule(
        _ITEM,
        f"!({_BOTH}) || self.layout == self.model.layout || self.layout.split('').filter(l, l == '?').size() <= 1",
        UNNAMED,
        ".layout",
    ),
)
