"""InferenceService."""

from typing import Annotated, Any, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.device import MAX_TARGET_LENGTH
from vinoserve_api.fields import Matches
from vinoserve_api.v1alpha1.autoscaling import Autoscaling
from vinoserve_api.v1alpha1.device import AcceleratorRequest, Batching, Hints, OperatorAffinity, Parity
from vinoserve_api.v1alpha1.metadata import ObjectMeta
from vinoserve_api.v1alpha1.model import Model
from vinoserve_api.v1alpha1.pods import Cache, Idle, Limits, PodTemplate, Resources, Rollout, Warmup
from vinoserve_api.v1alpha1.status import InferenceServiceStatus
from vinoserve_api.v1alpha1.values import OnFallback

PropertyKey = Annotated[
    str,
    Field(max_length=128),
    Matches(
        r"^[A-Z][A-Z0-9_]*$",
        "is not a property's key; write upper case letters, digits and '_', a letter first",
    ),
]
Properties = dict[str, dict[str, Any]]


class InferenceServiceSpec(Document):
    model: Model = Field(description="What to serve.")
    target_device: Annotated[str, Field(max_length=MAX_TARGET_LENGTH)] = Field(
        "CPU",
        description="OpenVINO's device: CPU, GPU, GPU.1, NPU, AUTO:GPU,CPU, MULTI:…, HETERO:GPU,CPU, BATCH:GPU(8).",
    )
    hints: Hints = Field(Hints(), description="OpenVINO's high-level hints.")
    properties: Properties = Field(
        {}, description="OpenVINO properties, by device; only of devices that targetDevice names."
    )
    unchecked_properties: dict[
        str, Annotated[dict[PropertyKey, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
    ] = Field(
        {},
        description="Properties that this version doesn't know, by device; passed on as they are, and named in Accepted's message.",
    )
    operator_affinity: Annotated[tuple[OperatorAffinity, ...], Field(max_length=16)] = Field(
        (), description="With HETERO: operators that shall run on one of its devices."
    )
    batching: Batching | None = Field(
        None, description="Put requests together; with BATCH:DEVICE on the device, else in the server."
    )
    parity: Parity | None = Field(
        None, description="Compare the target's results with the CPU's before the service is ready."
    )
    on_fallback: OnFallback | None = Field(
        None,
        description="What to do where the device that runs isn't the one asked for. Default: Fail where targetDevice names devices but no CPU, else Warn.",
    )
    accelerators: Annotated[tuple[AcceleratorRequest, ...], Field(max_length=8)] | None = Field(
        None,
        description="Accelerators a pod gets; left out: what targetDevice needs, from the default classes.",
    )
    cache: Cache = Field(Cache(), description="Caches of the pods.")
    precompile: bool = Field(
        False,
        description="True: a Job fills the compiled cache before new pods replace the old ones; needs a cache that outlives pods.",
    )
    warmup: Warmup = Field(Warmup(), description="What happens before a pod is ready.")
    idle: Idle | None = Field(None, description="What a pod gives back that nobody asks anything.")
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        1, description="How many pods. With autoscaling the autoscaler writes it: leave it out of manifests."
    )
    autoscaling: Autoscaling | None = Field(
        None, description="Scale the replicas by load, with a HorizontalPodAutoscaler on this object."
    )
    rollout: Rollout = Field(Rollout(), description="How a change reaches the pods.")
    suspend: bool = Field(False, description="True: no pods, whatever replicas says; everything else stays.")
    limits: Limits = Field(Limits(), description="What a pod takes on.")
    resources: Resources = Field(
        Resources(), description="CPU and memory of a pod; accelerators go under accelerators."
    )
    pod_template: PodTemplate = Field(PodTemplate(), description="What else the pods shall have.")


class InferenceService(Document):
    """A model, the device it shall run on, and how: served over the Open Inference Protocol."""

    api_version: Literal["vinoserve.dev/v1alpha1"]
    kind: Literal["InferenceService"]
    metadata: ObjectMeta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus | None = None
