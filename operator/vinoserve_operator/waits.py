"""What only time tells of pods: the kubelet says in events alone what keeps it from mounting their volumes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from vinoserve_operator.status.pods import PodView

_MOUNT_SECONDS: Final = 20.0
"""Within which nodes usually have a pod's volumes."""


def find_unmounted(pods: Iterable[PodView], now: str) -> tuple[frozenset[str], float | None]:
    """Names of the pods whose volumes aren't there after the usual time, and in how many seconds to look again, if at all.

    `now` is in RFC 3339.
    """
    present = datetime.fromisoformat(now)
    waited = {
        pod.name: (present - datetime.fromisoformat(pod.unmounted_since)).total_seconds()
        for pod in pods
        if pod.unmounted_since
    }
    late = frozenset(name for name, seconds in waited.items() if seconds >= _MOUNT_SECONDS)
    again = [_MOUNT_SECONDS - seconds for name, seconds in waited.items() if name not in late]
    return late, max(1.0, min(again)) if again else None
