"""Caches: where they are, how large they may be, and what precompiling needs of them."""

from collections.abc import Iterator
from typing import Final

from vinoserve_api.problem import Problem
from vinoserve_api.rules.amounts import check_amount, make_amount_rules
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.v1alpha1 import InferenceServiceSpec

CLAIM_MISSING: Final = (
    "type PersistentVolumeClaim needs claimName: write the name of a claim in the same namespace"
)
CLAIM_UNUSED: Final = "claimName goes with type PersistentVolumeClaim; set type, or remove claimName"
PRECOMPILE_KEPT: Final = "needs a cache that outlives pods: write cache.compiled with type PersistentVolumeClaim and claimName, or type HostPath"


def check_caches(spec: InferenceServiceSpec) -> Iterator[Problem]:
    compiled = spec.cache.compiled
    if compiled.type == "PersistentVolumeClaim":
        if compiled.claim_name is None:
            yield Problem("spec.cache.compiled.claimName", CLAIM_MISSING)
    elif compiled.claim_name is not None:
        yield Problem("spec.cache.compiled.claimName", CLAIM_UNUSED)
    for path, limit in (
        ("spec.cache.compiled.sizeLimit", compiled.size_limit),
        ("spec.cache.model.sizeLimit", spec.cache.model.size_limit),
    ):
        yield from check_amount(path, limit, in_bytes=True)
    if spec.precompile and compiled.type == "EmptyDir":
        yield Problem("spec.precompile", PRECOMPILE_KEPT)


# --- the same in CEL

# The API server tries the rules on the default {} too, where type is not filled in yet.
_ON_CLAIM: Final = "(has(self.type) && self.type == 'PersistentVolumeClaim')"
_IS_KEPT: Final = (
    "(has(self.cache) && has(self.cache.compiled) && has(self.cache.compiled.type)"
    " && self.cache.compiled.type != 'EmptyDir')"
)

CEL: Final = (
    CelRule("spec.cache.compiled", f"!{_ON_CLAIM} || has(self.claimName)", CLAIM_MISSING, ".claimName"),
    CelRule("spec.cache.compiled", f"{_ON_CLAIM} || !has(self.claimName)", CLAIM_UNUSED, ".claimName"),
    *make_amount_rules("spec.cache.compiled.sizeLimit", in_bytes=True),
    *make_amount_rules("spec.cache.model.sizeLimit", in_bytes=True),
    CelRule(
        "spec",
        f"!has(self.precompile) || !self.precompile || {_IS_KEPT}",
        PRECOMPILE_KEPT,
        ".precompile",
    ),
)
