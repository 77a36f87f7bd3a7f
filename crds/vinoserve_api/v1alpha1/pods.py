"""What a pod is given and takes on."""

from typing import Annotated, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.fields import Matches
from vinoserve_api.v1alpha1.scheduling import Affinity, Toleration, TopologySpreadConstraint
from vinoserve_api.v1alpha1.values import AnnotationMap, LabelMap, ObjectName, Quantity


class CompiledCache(Document):
    """Where compiled models are kept, so that the next start doesn't compile."""

    type: Literal["EmptyDir", "PersistentVolumeClaim", "HostPath"] = Field(
        "EmptyDir",
        description="EmptyDir: as long as the pod lives. PersistentVolumeClaim: shared, outlives pods. "
        "HostPath: a folder of the node, where the AcceleratorClass has hostPathCache.",
    )
    size_limit: Quantity | None = Field(
        None,
        description="Most that compiled models may take: past it the least recently used go; of an EmptyDir its size limit, too.",
    )
    claim_name: ObjectName | None = Field(
        None, description="The PersistentVolumeClaim, in the same namespace."
    )


class ModelCache(Document):
    """Where the fetched model is kept."""

    type: Literal["EmptyDir"] = Field("EmptyDir", description="EmptyDir: as long as the pod lives.")
    size_limit: Quantity | None = Field(
        None, description="Size limit of the EmptyDir that the model is fetched to."
    )


class Cache(Document):
    compiled: CompiledCache = Field(CompiledCache(), description="Where compiled models are kept.")
    model: ModelCache = Field(ModelCache(), description="Where the fetched model is kept.")


class Warmup(Document):
    requests: Annotated[int, Field(ge=0, le=1000)] = Field(
        3,
        description="Inferences before the pod is ready, so that the first client doesn't wait for kernels.",
    )


class Idle(Document):
    """What a pod does that nobody asks anything."""

    release_after_seconds: Annotated[int, Field(ge=1, le=604_800)] = Field(
        description="After so long without a request the pod lets go of the compiled model and the device's memory; "
        "it stays ready, and the next request waits until the model is loaded again, from the compiled cache.",
    )


class Rollout(Document):
    strategy: Literal["Auto", "RollingUpdate", "Recreate"] = Field(
        "Auto",
        description="Auto: a new pod first, except where the accelerators are exclusive (there the old pod goes first). "
        "RollingUpdate: a new pod first. Recreate: all old pods go first.",
    )
    min_ready_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        0,
        description="How long a new pod, warmed up and ready, must stay so before the next old one goes.",
    )


class Limits(Document):
    """What a pod takes on; more is refused with a status code that says so."""

    max_request_bytes: Quantity = Field(
        "64Mi",
        description="Largest request body, after decompression (413). All bodies together have room for eight such, at least 256Mi.",
    )
    max_queued_requests: Annotated[int, Field(ge=1, le=65536)] = Field(
        256, description="Requests that may wait for an infer request (429 past it)."
    )
    request_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        30, description="Longest a request may take, waiting included (504)."
    )
    max_image_pixels: Quantity = Field(
        "64M",
        description="Largest picture that client.encoding image decodes, in pixels, and most pixels of a request's pictures "
        "as the model gets them (400).",
    )


class ResourceList(Document):
    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = Field(None, alias="ephemeral-storage")


class Resources(Document):
    requests: ResourceList | None = Field(None, description="What the scheduler reserves for a pod.")
    limits: ResourceList | None = Field(None, description="What a pod may use at most.")


class LocalObjectReference(Document):
    name: ObjectName


class PodTemplate(Document):
    """What else the pods shall have, as in any pod template."""

    labels: LabelMap = Field({}, description="Labels of the pods.")
    annotations: AnnotationMap = Field({}, description="Annotations of the pods.")
    node_selector: LabelMap = Field({}, description="Labels that a node must have, beside the class' own.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        (), description="Taints that the pods bear, beside the class' own."
    )
    affinity: Affinity | None = Field(None, description="Affinity, as in a pod.")
    topology_spread_constraints: Annotated[tuple[TopologySpreadConstraint, ...], Field(max_length=16)] = (
        Field(
            (),
            description="Topology spread constraints, as in a pod; labelSelector left out: the pods of this service.",
        )
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    service_account_name: ObjectName | None = Field(
        None, description="ServiceAccount of the pods; its token is never mounted."
    )
    runtime_class_name: ObjectName | None = Field(None, description="RuntimeClass, before the class' own.")
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=16)] = Field(
        (), description="Secrets for the image's registry."
    )
    image: (
        Annotated[
            str,
            Field(max_length=512),
            Matches(
                r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
                "is not the name of an image; write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…",
            ),
        ]
        | None
    ) = Field(None, description="Runtime image, instead of the operator's default.")
