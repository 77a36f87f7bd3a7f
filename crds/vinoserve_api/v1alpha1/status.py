"""What the operator reports of an InferenceService."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vinoserve_api.base import Document


class StatusDocument(Document):
    """Written by our own programs: Python names are welcome too."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)


class Condition(StatusDocument):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: Annotated[str, Field(max_length=32768)] = ""
    last_transition_time: str
    observed_generation: int | None = None


class TensorStatus(StatusDocument):
    """A tensor as clients see it."""

    name: str
    datatype: str = Field(description="Open Inference Protocol datatype, such as FP32.")
    shape: tuple[int, ...] = Field(description="-1: any size.")


class ModelStatus(StatusDocument):
    uri: str
    digest: str | None = Field(None, description="What was fetched, as sha256:….")
    revision: str | None = Field(
        None,
        description="What the uri's branch, tag or version was when it was fetched: a commit, an ETag, a digest.",
    )
    format: str | None = None
    size_bytes: int | None = None
    inputs: tuple[TensorStatus, ...] = ()
    outputs: tuple[TensorStatus, ...] = ()


class EffectiveProperty(StatusDocument):
    """A property where OpenVINO took something else than was asked for."""

    device: str
    property: str
    requested: str
    effective: str


class Startup(StatusDocument):
    """What a pod's start was spent on."""

    fetch_seconds: float | None = None
    read_seconds: float | None = None
    compile_seconds: float | None = None
    cache_hit: bool | None = Field(None, description="The compiled model came from the cache.")
    warmup_seconds: float | None = None
    parity_seconds: float | None = None


class Placement(StatusDocument):
    """How many operators of the model a device runs (HETERO)."""

    device: str
    operators: int


class OutputParity(StatusDocument):
    """How far an output on the target is from the reference, over all samples."""

    name: str
    max_absolute_error: float | None = Field(None, description="Null where a result is not finite.")
    max_relative_error: float | None = None
    cosine: float | None = Field(None, description="Of the least similar sample.")
    passed: bool


class ParityStatus(StatusDocument):
    """The target's results beside the reference's."""

    passed: bool
    samples: int
    reference: str
    outputs: tuple[OutputParity, ...] = ()


class PodStatus(StatusDocument):
    name: str
    node: str | None = None
    ready: bool
    execution_devices: tuple[str, ...] = ()
    released_at: str | None = Field(
        None,
        description="With spec.idle: since when it holds neither the compiled model nor memory of the device; absent while it is loaded.",
    )
    startup: Startup | None = None


class Failure(StatusDocument):
    reason: str
    message: str
    pod: str | None = None
    time: str | None = None


class InferenceServiceStatus(StatusDocument):
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()
    replicas: int | None = None
    ready_replicas: int | None = None
    selector: str | None = None
    url: str | None = None
    execution_devices: tuple[str, ...] = Field((), description="What runs the model, over all replicas.")
    runs_on: str | None = Field(
        None, description="The execution devices in one text, such as GPU.0,CPU: the column RUNS-ON."
    )
    device_names: tuple[str, ...] = Field((), description="Full names of the execution devices.")
    model: ModelStatus | None = None
    effective: tuple[EffectiveProperty, ...] = Field(
        (), description="Properties where OpenVINO took something else than was asked for."
    )
    placement: tuple[Placement, ...] = Field((), description="With HETERO: how many operators run where.")
    parity: ParityStatus | None = Field(None, description="With spec.parity: the newest ready pod's figures.")
    startup: Startup | None = Field(None, description="What the newest ready pod's start was spent on.")
    pods: tuple[PodStatus, ...] = Field((), description="At most 20 pods, the unhealthy first.")
    warnings: tuple[str, ...] = Field((), description="What the newest ready pod warns of, at most 16.")
    failure: Failure | None = Field(None, description="What went wrong last, while it is wrong.")
