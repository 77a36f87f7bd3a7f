"""Equal parts of objects, kept once: thousands of Deployments differ in little more than their names.

Whoever reads the caches changes nothing in them, so it doesn't matter whose part it was first.
"""

import sys
from typing import Any

import orjson


def share(found: Any, known: Any) -> Any:
    """`found`, which JSON can say, made of the parts of `known` that are equal at the same place."""
    if isinstance(found, dict):
        if not isinstance(known, dict):
            known = {}
        elif _is_same(found, known):
            return known
        return {sys.intern(key): share(value, known.get(key)) for key, value in found.items()}
    if isinstance(found, list):
        if not isinstance(known, list):
            known = []
        elif _is_same(found, known):
            return known
        return [share(item, known[i] if i < len(known) else None) for i, item in enumerate(found)]
    if isinstance(found, str):
        return known if found == known else sys.intern(found)
    return found


def _is_same(found: object, known: object) -> bool:
    """Not only equal: to Python 1, 1.0 and True are equal, to OpenVINO's properties they aren't."""
    return found == known and orjson.dumps(found) == orjson.dumps(known)
