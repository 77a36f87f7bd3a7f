"""The part of metadata that vinoserve reads."""

from vinoserve_api.base import Document
from vinoserve_api.v1alpha1.values import DnsLabel, LabelKey, LabelValue, ObjectName


class ObjectMeta(Document):
    """The part of metadata that vinoserve reads; the rest is let through."""

    model_config = Document.model_config | {"extra": "ignore"}

    name: DnsLabel
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[LabelKey, str] = {}
    deletion_timestamp: str | None = None


class ClusterObjectMeta(ObjectMeta):
    name: ObjectName
