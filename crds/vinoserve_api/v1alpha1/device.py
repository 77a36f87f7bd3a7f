"""What OpenVINO is told beside the model: hints, placed operators; and the accelerators."""

from typing import Annotated, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.fields import IntOrText
from vinoserve_api.v1alpha1.values import FiniteFloat, ObjectName, Text


class Hints(Document):
    """OpenVINO's high-level hints, in OpenVINO's own spelling."""

    performance_mode: Literal["LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"] | None = Field(
        None, description="PERFORMANCE_HINT. CUMULATIVE_THROUGHPUT runs on all devices of AUTO at once."
    )
    num_streams: (
        Annotated[
            int | str,
            IntOrText(
                1, 1024, "^(AUTO|NUMA)$", 4, "is not a number of streams; write AUTO, NUMA or 1 to 1024"
            ),
        ]
        | None
    ) = Field(None, description="NUM_STREAMS: AUTO, NUMA or a number; never together with performanceMode.")
    num_requests: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        None, description="PERFORMANCE_HINT_NUM_REQUESTS: how many requests clients keep in flight."
    )
    execution_mode: Literal["PERFORMANCE", "ACCURACY"] | None = Field(
        None, description="EXECUTION_MODE_HINT."
    )
    inference_precision: Literal["f32", "f16", "bf16", "dynamic"] | None = Field(
        None, description="INFERENCE_PRECISION_HINT; one that every device named has."
    )
    model_priority: Literal["LOW", "MEDIUM", "HIGH"] | None = Field(
        None, description="MODEL_PRIORITY, against other models on the same GPU or NPU."
    )


class OperatorAffinity(Document):
    device: Annotated[str, Field(max_length=16)] = Field(
        description="A device that targetDevice's HETERO list names."
    )
    types: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=256)
    ] = Field((), description="Operator types, such as MulticlassNms.")
    names: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...], Field(max_length=256)
    ] = Field((), description="Operators by their friendly names.")


class AcceleratorRequest(Document):
    class_: ObjectName = Field(alias="class", description="Name of an AcceleratorClass.")
    count: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Units a pod gets.")


class Batching(Document):
    """Requests of several clients become one inference."""

    max_batch_size: Annotated[int, Field(ge=2, le=1024)] | None = Field(
        None,
        description="Most samples in one inference. With BATCH:DEVICE its batch size; else the model needs a dynamic batch.",
    )
    timeout_milliseconds: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        None,
        description="How long a sample waits for others. Left out: with BATCH OpenVINO's 1000, else 0: whatever "
        "waits while the device is busy goes together.",
    )


class Tolerance(Document):
    """An element is right where |target - reference| <= atol + rtol * |reference|."""

    rtol: Annotated[FiniteFloat, Field(ge=0)] = Field(0.01, description="Relative part.")
    atol: Annotated[FiniteFloat, Field(ge=0)] = Field(0.01, description="Absolute part.")
    cosine: Annotated[FiniteFloat, Field(ge=-1, le=1)] | None = Field(
        None, description="Smallest cosine similarity of a whole output, instead of the rule by element."
    )


class Parity(Document):
    """Before Ready, the same inputs go through the target and through the CPU in f32."""

    samples: Text | None = Field(
        None,
        description="An .npz file, or a folder of them, beside the model: an array by input's name.",
    )
    random: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="How many random samples, always the same ones."
    )
    reference: Literal["CPU"] = Field("CPU", description="The device that is believed, in f32.")
    tolerance: Tolerance = Field(Tolerance(), description="What counts as equal.")
    on_mismatch: Literal["Fail", "Warn"] = Field(
        "Fail", description="Fail: never Ready. Warn: said in status."
    )
