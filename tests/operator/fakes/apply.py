"""Server-side apply: fields and the items of keyed lists go in, and go when they are applied no more."""

import copy
from typing import Any

Object = dict[str, Any]

ATOMIC = ("selector", "matchLabels", "nodeSelector")
"""Taken as a whole."""


def _key_of(item: Any) -> object:
    """By what an item of a list is known (listType: map), or None where the list is taken as a whole."""
    if not isinstance(item, dict):
        return None
    return next((item[k] for k in ("mountPath", "containerPort", "uid", "name", "port") if k in item), None)


def _keyed(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(_key_of(item) is not None for item in items)


def merge(into: Object, wanted: Object) -> None:
    for field_, value in wanted.items():
        present = into.get(field_)
        if isinstance(value, dict) and isinstance(present, dict) and field_ not in ATOMIC:
            merge(present, value)
        elif _keyed(value) and _keyed(present):
            by_key = {_key_of(item): item for item in present}
            for item in value:
                if _key_of(item) in by_key:
                    merge(by_key[_key_of(item)], item)
                else:
                    present.append(copy.deepcopy(item))
        else:
            into[field_] = copy.deepcopy(value)


def remove(present: Object, before: Object, wanted: Object) -> None:
    """Fields that the manager applied before and applies no more."""
    for field_, value in before.items():
        if field_ not in wanted:
            present.pop(field_, None)
        elif (
            isinstance(value, dict)
            and isinstance(wanted[field_], dict)
            and isinstance(present.get(field_), dict)
        ):
            remove(present[field_], value, wanted[field_])
        elif _keyed(value) and isinstance(wanted[field_], list) and _keyed(present.get(field_)):
            wanted_keys = {_key_of(item) for item in wanted[field_]}
            gone = {_key_of(item) for item in value} - wanted_keys
            present[field_] = [item for item in present[field_] if _key_of(item) not in gone]
            by_key = {_key_of(item): item for item in present[field_]}
            after = {_key_of(item): item for item in wanted[field_]}
            for item in value:
                key = _key_of(item)
                if key in by_key and key in after:
                    remove(by_key[key], item, after[key])
