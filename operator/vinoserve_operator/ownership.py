"""Whose an object is that stands where a child of a service shall be."""

from vinoserve_operator.desired.names import INSTANCE_LABEL, MANAGED_LABELS
from vinoserve_operator.errors import RejectedError, RetryableError
from vinoserve_operator.kinds import BY_NAME, INFERENCE_SERVICE, Object, find_controller


def check_ours(present: Object, raw: Object) -> None:
    """Raises RejectedError where `present`, in the place of a child of the service `raw`, is somebody else's."""
    metadata, kind = present["metadata"], BY_NAME[present["kind"]].name
    owner = find_controller(present)
    if owner is not None and owner["uid"] == raw["metadata"]["uid"]:
        return
    if (
        owner is not None
        and owner["kind"] == INFERENCE_SERVICE.name
        and owner["name"] == raw["metadata"]["name"]
    ):
        raise RetryableError(f"{kind} {metadata['name']} of the deleted service of that name is still there")
    labels = metadata.get("labels") or {}
    ours = MANAGED_LABELS | {INSTANCE_LABEL: raw["metadata"]["name"]}
    if owner is None and ours.items() <= labels.items():
        return  # left behind by a deletion with --cascade=orphan
    raise RejectedError(
        f"metadata.name: there is a {kind} {metadata['namespace']}/{metadata['name']} already that is not this service's; "
        "delete it, or give the service another name"
    )
