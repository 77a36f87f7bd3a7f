"""Which services' children are as they shall be, so that nothing is rendered where nothing can differ.

Rendering is most of what a look at a service costs, and during a rollout its pods call for many looks.
"""

from collections.abc import Iterable
from typing import Any

from vinoserve_api.v1alpha1 import GROUP
from vinoserve_operator.kinds import Object, Ref

Basis = tuple[Any, ...]
"""What a judgement was made of."""


class Settled:
    def __init__(self) -> None:
        self._known: dict[Ref, tuple[Basis, str]] = {}

    def note(self, ref: Ref, basis: Basis, config: str) -> None:
        """From this basis nothing was left to write; `config` is the digest of the service's RuntimeConfig."""
        self._known[ref] = basis, config

    def find_config(self, ref: Ref, basis: Basis) -> str | None:
        """The digest, where the basis is still the same."""
        known = self._known.get(ref)
        return known[1] if known and known[0] == basis else None

    def knows(self, ref: Ref) -> bool:
        """Whether all its children were there once."""
        return ref in self._known

    def forget(self, ref: Ref) -> None:
        self._known.pop(ref, None)


def make_basis(raw: Object, inventory: object, children: Iterable[Object]) -> Basis:
    """`inventory` is a version of what else is looked at. Of the children counts what an apply would set, not their status."""
    metadata = raw["metadata"]
    return metadata["uid"], metadata.get("generation"), inventory, frozenset(map(_mark, children))


def _mark(child: Object) -> int:
    """A hash will do: it changes with what the child is. Controllers keep notes in annotations of their own."""
    metadata = child["metadata"]
    annotations = metadata.get("annotations") or {}
    ours = {name: value for name, value in annotations.items() if name.startswith(f"{GROUP}/")}
    named = (metadata.get("labels") or {}, ours)
    return hash(
        (
            metadata["uid"],
            metadata.get("generation") or metadata["resourceVersion"],
            *(tuple(sorted(names.items())) for names in named),
            tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
        )
    )
