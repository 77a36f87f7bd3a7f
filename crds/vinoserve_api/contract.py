"""What operator and runtime tell each other: `RuntimeConfig` into the pod, `RuntimeReport` out of it.

The operator puts a RuntimeConfig into a ConfigMap that the pod mounts; `vinoserve serve FILE` makes the same
document from the same object. The report is `GET /report` on the admin port while the pod lives; when it dies,
the termination message carries a `TerminationMessage`.
"""

from bisect import bisect_left
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from vinoserve_api.base import Document
from vinoserve_api.conditions import FailureReason
from vinoserve_api.device import parse_target
from vinoserve_api.quantity import parse_quantity
from vinoserve_api.v1alpha1 import (
    Batching,
    EffectiveProperty,
    Hints,
    InferenceService,
    Input,
    ModelFormat,
    ModelStatus,
    OnFallback,
    OperatorAffinity,
    Output,
    Parity,
    ParityStatus,
    Placement,
    Properties,
    Startup,
)

HTTP_PORT = 8000
GRPC_PORT = 8001
ADMIN_PORT = 8002

CONFIG_PATH = "/etc/vinoserve/config.json"
MODEL_DIR = "/models"
CACHE_DIR = "/cache"
CLAIM_DIR = "/claim"
IMAGE_DIR = "/image"
"""Where the image of an oci: uri is mounted."""
CREDENTIALS_DIR = "/var/run/secrets/vinoserve.dev/credentials"
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
TERMINATION_MESSAGE_BYTES = 4096


class ContractDocument(Document):
    """Read and written by our own programs: Python names are welcome too."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)


class ModelSource(ContractDocument):
    uri: str
    name: str = Field(description="Served name.")
    version: str
    format: ModelFormat | None = None
    digest: str | None = None


class RuntimeLimits(ContractDocument):
    max_request_bytes: int
    max_queued_requests: int
    request_timeout_seconds: int
    max_image_pixels: int


class RuntimeConfig(ContractDocument):
    """All that a pod needs to know: defaults filled in, nothing that a pod doesn't act on.

    It has neither replicas nor generation, so that a change of those alone rolls no pod.
    """

    version: Literal["v1alpha1"] = "v1alpha1"
    model: ModelSource
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    target_device: str
    hints: Hints = Hints()
    properties: Properties = {}
    unchecked_properties: dict[str, dict[str, str]] = {}
    operator_affinity: tuple[OperatorAffinity, ...] = ()
    batching: Batching | None = None
    parity: Parity | None = None
    on_fallback: OnFallback
    cache_size_limit: int | None = Field(None, description="Bytes that compiled models may take.")
    model_size_limit: int | None = Field(
        None, description="Bytes that the model may take, with archives beside what is in them."
    )
    warmup_requests: int
    release_after_seconds: int | None = Field(
        None, description="How long nobody asks anything before the compiled model is let go of; null: never."
    )
    limits: RuntimeLimits


def make_runtime_config(service: InferenceService) -> RuntimeConfig:
    """What a pod of this service is told. The service must be valid (`rules.check_service`)."""
    spec = service.spec
    return RuntimeConfig(
        model=ModelSource(
            uri=spec.model.uri,
            name=spec.model.name or service.metadata.name,
            version=spec.model.version,
            format=spec.model.format,
            digest=spec.model.digest,
        ),
        inputs=spec.model.inputs,
        outputs=spec.model.outputs,
        target_device=spec.target_device,
        hints=spec.hints,
        # a block without properties says nothing, and rolls no pod
        properties={device: block for device, block in spec.properties.items() if block},
        unchecked_properties={device: block for device, block in spec.unchecked_properties.items() if block},
        operator_affinity=spec.operator_affinity,
        batching=spec.batching,
        parity=spec.parity,
        cache_size_limit=_parse_size(spec.cache.compiled.size_limit),
        model_size_limit=_parse_size(spec.cache.model.size_limit),
        on_fallback=spec.on_fallback or parse_target(spec.target_device).default_on_fallback,
        warmup_requests=spec.warmup.requests,
        release_after_seconds=spec.idle.release_after_seconds if spec.idle else None,
        limits=RuntimeLimits(
            max_request_bytes=parse_quantity(spec.limits.max_request_bytes),
            max_queued_requests=spec.limits.max_queued_requests,
            request_timeout_seconds=spec.limits.request_timeout_seconds,
            max_image_pixels=parse_quantity(spec.limits.max_image_pixels),
        ),
    )


def _parse_size(limit: str | int | None) -> int | None:
    return None if limit is None else parse_quantity(limit)


Phase = Literal[
    "Fetching",
    "Reading",
    "Compiling",
    "WarmingUp",
    "Comparing",
    "Ready",
    "Idle",
    "Reloading",
    "Draining",
    "Failed",
]
SERVING: Final[frozenset[Phase]] = frozenset({"Ready", "Idle", "Reloading"})
"""Phases in which a pod takes requests; of Idle and Reloading see `IdleReport`."""


class Progress(ContractDocument):
    """How far the phase is."""

    seconds: float = Field(description="In this phase.")
    bytes_done: int | None = None
    bytes_total: int | None = None


class RuntimeFailure(ContractDocument):
    reason: FailureReason
    message: str


class IdleReport(ContractDocument):
    """With `releaseAfterSeconds`: what became of the compiled model."""

    released_at: str | None = Field(
        None,
        description="Since when there is neither a compiled model nor memory of the device, in RFC 3339; null while it is loaded.",
    )
    reloads: int = Field(0, description="How often it was loaded again.")
    failed_reloads: int = Field(0, description="How often that failed.")
    reload_seconds: float | None = Field(None, description="What the last reload took.")
    cache_hit: bool | None = Field(None, description="The last reload came from the compiled cache.")
    failure: RuntimeFailure | None = Field(
        None, description="Why the last reload failed; null once one has worked."
    )


class RuntimeReport(ContractDocument):
    """What the pod says of itself: never what was asked for in the place of what is."""

    version: Literal["v1alpha1"] = "v1alpha1"
    phase: Phase
    progress: Progress | None = None
    target_device: str = Field(description="As requested.")
    execution_devices: tuple[str, ...] = Field(
        (),
        description="OpenVINO's EXECUTION_DEVICES, verbatim; (CPU) in brackets stands in for another device.",
    )
    device_names: tuple[str, ...] = Field((), description="FULL_DEVICE_NAME of each execution device.")
    on_requested_device: bool | None = Field(
        None,
        description="Whether the execution devices are what was asked for; null while nothing is compiled.",
    )
    effective: tuple[EffectiveProperty, ...] = ()
    streams: int | None = Field(None, description="NUM_STREAMS, as OpenVINO took it; null where it has none.")
    infer_requests: int | None = Field(None, description="How many inferences can run at once.")
    placement: tuple[Placement, ...] = ()
    parity: ParityStatus | None = None
    startup: Startup = Startup()
    idle: IdleReport | None = None
    model: ModelStatus | None = None
    engine_errors: int = Field(0, description="Inferences that the engine failed.")
    warnings: tuple[str, ...] = ()
    failure: RuntimeFailure | None = None


class TerminationMessage(ContractDocument):
    """What a container says when it ends in failure; at most 4 KiB as JSON."""

    failure: RuntimeFailure


def make_termination_message(failure: RuntimeFailure) -> str:
    """JSON within Kubernetes' limit for termination messages (4,096 bytes); of a longer message, as much as fits."""

    def cut(length: int) -> str:
        message = failure.message
        kept = message if length >= len(message) else message[:length] + "…"
        return TerminationMessage(
            failure=RuntimeFailure(reason=failure.reason, message=kept)
        ).model_dump_json(by_alias=True)

    def is_too_long(length: int) -> bool:
        return len(cut(length).encode()) > TERMINATION_MESSAGE_BYTES

    whole = len(failure.message)
    return cut(whole if not is_too_long(whole) else bisect_left(range(whole), True, key=is_too_long) - 1)


def read_termination_message(text: str) -> RuntimeFailure | None:
    """The failure in a termination message, or None where it isn't one of ours (an OOM kill leaves none)."""
    try:
        return TerminationMessage.model_validate_json(text).failure
    except ValueError:
        return None


def read_report(body: bytes | str | dict[str, Any]) -> RuntimeReport:
    """Raises pydantic.ValidationError (a ValueError) where the body is no report."""
    return RuntimeReport.load(body) if isinstance(body, dict) else RuntimeReport.model_validate_json(body)
