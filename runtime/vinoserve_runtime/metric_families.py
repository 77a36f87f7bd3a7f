"""Every family on the admin port's `/metrics`: what it counts, and by which labels. `docs/reference/metrics.md` is made of it.

All samples carry `model` and `version` as well. Names follow Prometheus' conventions: base units, `_total` for counters.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Family:
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    peer: str | None = None
    """What OpenVINO Model Server calls the same, for those who come from there."""


REQUESTS: Final = Family(
    "vinoserve_requests_total",
    "counter",
    "Requests answered: api rest or grpc; operation infer, metadata, health or other; outcome success, refused (the client's "
    "doing), overloaded (429, 503, 504 and gRPC's like) or failed; code is HTTP's number or gRPC's name.",
    ("api", "operation", "outcome", "code"),
    "ovms_requests_success, ovms_requests_fail, ovms_requests_rejected",
)
REQUEST_SECONDS: Final = Family(
    "vinoserve_request_seconds",
    "histogram",
    "From a whole inference request to its response.",
    peer="ovms_request_time_us",
)
QUEUE_SECONDS: Final = Family(
    "vinoserve_queue_seconds",
    "histogram",
    "How long inference requests waited for the model.",
    peer="ovms_wait_for_infer_req_time_us",
)
INFERENCE_SECONDS: Final = Family(
    "vinoserve_inference_seconds", "histogram", "How long the model took.", peer="ovms_inference_time_us"
)
BATCH_SIZE: Final = Family(
    "vinoserve_batch_size", "histogram", "Samples in one inference, with spec.batching."
)
IN_FLIGHT: Final = Family(
    "vinoserve_requests_in_flight",
    "gauge",
    "Requests that the engine has now, with batching those too that gather for the next batch.",
    peer="ovms_current_requests, ovms_infer_req_active",
)
QUEUE_LENGTH: Final = Family(
    "vinoserve_queue_length", "gauge", "Inference requests that wait for the model now."
)
CONNECTIONS: Final = Family("vinoserve_connections", "gauge", "Open HTTP connections of clients.")
INFER_REQUESTS: Final = Family(
    "vinoserve_infer_requests",
    "gauge",
    "OpenVINO infer requests: how many inferences can run at once.",
    peer="ovms_infer_req_queue_size",
)
STREAMS: Final = Family(
    "vinoserve_streams",
    "gauge",
    "OpenVINO's execution streams (NUM_STREAMS, as it took it).",
    peer="ovms_streams",
)
DEVICE_INFO: Final = Family(
    "vinoserve_device_info",
    "gauge",
    "1 for each device that runs the model: OpenVINO's name of it, its full name, and the target that was asked for.",
    ("device", "full_name", "target"),
)
ON_REQUESTED_DEVICE: Final = Family(
    "vinoserve_on_requested_device", "gauge", "1 where what runs the model is what was asked for, else 0."
)
MODEL_INFO: Final = Family(
    "vinoserve_model_info",
    "gauge",
    "1, with the digest of what is served and its format.",
    ("digest", "format"),
)
PHASE: Final = Family("vinoserve_phase", "gauge", "1 for the phase that the server is in.", ("phase",))
STARTUP_SECONDS: Final = Family(
    "vinoserve_startup_seconds",
    "gauge",
    "What the start was spent on: fetch, read, compile, parity, warmup.",
    ("stage",),
)
CACHE_HIT: Final = Family(
    "vinoserve_compiled_cache_hit",
    "gauge",
    "1 where the compiled model came from the cache, 0 where it was compiled; absent without a cache.",
)
RELEASED: Final = Family(
    "vinoserve_released",
    "gauge",
    "1 while an idle server holds neither the compiled model nor memory of the device (spec.idle), else 0.",
)
RELOADS: Final = Family(
    "vinoserve_reloads_total",
    "counter",
    "Times that an idle server loaded the model again for a request: outcome success or failed.",
    ("outcome",),
)
RELOAD_SECONDS: Final = Family(
    "vinoserve_reload_seconds", "histogram", "How long an idle server took to load the model again."
)
ENGINE_ERRORS: Final = Family(
    "vinoserve_engine_errors_total", "counter", "Inferences that the engine failed."
)

FAMILIES: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    QUEUE_SECONDS,
    INFERENCE_SECONDS,
    BATCH_SIZE,
    IN_FLIGHT,
    QUEUE_LENGTH,
    CONNECTIONS,
    INFER_REQUESTS,
    STREAMS,
    DEVICE_INFO,
    ON_REQUESTED_DEVICE,
    MODEL_INFO,
    PHASE,
    STARTUP_SECONDS,
    CACHE_HIT,
    RELEASED,
    RELOADS,
    RELOAD_SECONDS,
    ENGINE_ERRORS,
)
