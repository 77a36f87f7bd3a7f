"""What an AcceleratorClass' allowedNamespaces may be, and whether a namespace `default` with LABELS may use it.

The operator and the admission policy have to agree on each.
"""

from typing import Any

LABELS = {"gpu": "yes", "tier": "gold"}

CASES: list[tuple[dict[str, Any] | None, bool]] = [
    (None, True),
    ({"names": ["default"]}, True),
    ({"names": ["other", "default"]}, True),
    ({"names": ["other"]}, False),
    ({"selector": {}}, True),
    ({"selector": {"matchLabels": {"gpu": "yes"}}}, True),
    ({"selector": {"matchLabels": {"gpu": "yes", "tier": "silver"}}}, False),
    ({"names": ["default"], "selector": {"matchLabels": {"gpu": "no"}}}, True),
    ({"names": ["other"], "selector": {"matchLabels": {"gpu": "yes"}}}, True),
    ({"selector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}]}}, True),
    ({"selector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["tin"]}]}}, False),
    ({"selector": {"matchExpressions": [{"key": "none", "operator": "In", "values": ["x"]}]}}, False),
    ({"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["tin"]}]}}, True),
    (
        {"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}},
        False,
    ),
    ({"selector": {"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["x"]}]}}, True),
    ({"selector": {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}}, True),
    ({"selector": {"matchExpressions": [{"key": "none", "operator": "Exists"}]}}, False),
    ({"selector": {"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]}}, True),
    ({"selector": {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}}, False),
]
