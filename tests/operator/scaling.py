"""A service that is scaled by its processors and by its queue."""

from typing import Any

CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
}
QUEUE = {
    "type": "Pods",
    "pods": {"metric": {"name": "queued"}, "target": {"type": "AverageValue", "averageValue": 4}},
}
SCALED: dict[str, Any] = {
    "resources": {"requests": {"cpu": "1"}},
    "autoscaling": {"minReplicas": 2, "maxReplicas": 6, "metrics": [CPU, QUEUE]},
}
