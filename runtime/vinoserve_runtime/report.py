"""What the runtime says of itself: a ledger that the lifecycle writes, and the report that is made of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import (
    TERMINATION_MESSAGE_PATH,
    IdleReport,
    Phase,
    Progress,
    RuntimeConfig,
    RuntimeFailure,
    RuntimeReport,
    make_termination_message,
)
from vinoserve_api.v1alpha1 import ModelStatus, ParityStatus, Placement, Startup, TensorStatus
from vinoserve_runtime.engine.compile import DeviceState
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.fetched import Fetched
from vinoserve_runtime.tensors import TensorInfo

_log = structlog.get_logger()


@dataclass
class Ledger:
    """Written on the event loop alone; whoever wants to know makes a report of it."""

    config: RuntimeConfig
    phase: Phase = "Fetching"
    since: float = field(default_factory=monotonic)
    bytes_done: int | None = None
    bytes_total: int | None = None
    startup: Startup = field(default_factory=Startup)
    fetched: Fetched | None = None
    device: DeviceState | None = None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    placement: tuple[Placement, ...] = ()
    parity: ParityStatus | None = None
    warnings: tuple[str, ...] = ()
    engine_errors: int = 0
    idle: IdleReport = field(default_factory=IdleReport)
    failure: RuntimeFailure | None = None

    def enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, monotonic()

    def note(self, **seconds: float | bool | None) -> None:
        """Add to the startup ledger, by the names of its fields."""
        self.startup = self.startup.model_copy(update=seconds)

    def note_idle(self, **fields: str | float | bool | RuntimeFailure | None) -> None:
        """Change what is reported of the rest, by the names of its fields."""
        self.idle = self.idle.model_copy(update=fields)

    def warn(self, *warnings: str) -> None:
        """Each is reported from now on, and logged once."""
        for warning in dict.fromkeys(warnings):
            if warning not in self.warnings:
                self.warnings += (warning,)
                _log.warning(warning)


def make_report(ledger: Ledger, now: float) -> RuntimeReport:
    """`now`: monotonic seconds."""
    device = ledger.device
    return RuntimeReport(
        phase=ledger.phase,
        progress=Progress(
            seconds=round(now - ledger.since, 3),
            bytes_done=ledger.bytes_done if ledger.phase == "Fetching" else None,
            bytes_total=ledger.bytes_total if ledger.phase == "Fetching" else None,
        ),
        target_device=ledger.config.target_device,
        execution_devices=device.execution_devices if device else (),
        device_names=device.device_names if device else (),
        on_requested_device=device.on_requested_device if device else None,
        effective=device.effective if device else (),
        streams=device.streams if device else None,
        infer_requests=device.infer_requests if device else None,
        placement=ledger.placement,
        parity=ledger.parity,
        startup=ledger.startup,
        idle=None if ledger.config.release_after_seconds is None else ledger.idle,
        model=_make_model_status(ledger),
        engine_errors=ledger.engine_errors,
        warnings=ledger.warnings
        + ((f"could not be loaded again: {again.message}",) if (again := ledger.idle.failure) else ()),
        failure=ledger.failure,
    )


def _make_model_status(ledger: Ledger) -> ModelStatus | None:
    if ledger.fetched is None:
        return None
    return ModelStatus(
        uri=ledger.config.model.uri,
        digest=ledger.fetched.digest,
        revision=ledger.fetched.revision,
        format=ledger.fetched.format,
        size_bytes=ledger.fetched.size_bytes,
        inputs=tuple(_make_tensor_status(tensor) for tensor in ledger.inputs),
        outputs=tuple(_make_tensor_status(tensor) for tensor in ledger.outputs),
    )


def _make_tensor_status(tensor: TensorInfo) -> TensorStatus:
    return TensorStatus(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)


def make_time() -> str:
    """Now, in RFC 3339, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_failure(error: Exception) -> RuntimeFailure:
    """On one line; what isn't a StartupError is a fault of ours, and logged with its traceback."""
    if isinstance(error, StartupError):
        return RuntimeFailure(reason=error.reason, message=" ".join(str(error).split()))
    _log.error("unexpected", exc_info=error)
    text = f"{type(error).__name__}: {error}"
    return RuntimeFailure(reason=FailureReason.INTERNAL_ERROR, message=" ".join(text.split()))


def make_crash_note(phase: Phase, target: str) -> RuntimeFailure | None:
    """What is left behind in case that this is the last that is heard of the process: native code ends without a word.

    None where nothing of OpenVINO's runs.
    """
    doing = _MIDST.get(phase)
    if doing is None:
        return None
    return RuntimeFailure(
        reason=FailureReason.ENGINE_CRASHED,
        message=f"the server's process crashed while it was {doing} {target}: within OpenVINO or the device's driver; its log "
        "has the stack; run the operator at fault elsewhere (HETERO and operatorAffinity), or take another device",
    )


_MIDST: Final[dict[Phase, str]] = {
    "Reading": "preparing the model for",
    "Compiling": "compiling the model for",
    "WarmingUp": "running the first inferences on",
    "Comparing": "comparing results with those of",
    "Ready": "serving on",
    "Reloading": "loading the model again on",
}


def write_termination_message(
    failure: RuntimeFailure | None, path: Path = Path(TERMINATION_MESSAGE_PATH)
) -> None:
    """Leave `failure`, or nothing, where the kubelet looks for it; outside of a pod that file isn't there."""
    if not path.is_file():
        return
    try:
        text = "" if failure is None else make_termination_message(failure)
        path.write_text(text, encoding="utf-8")  # whatever locale a library has set
    except OSError as error:
        _log.warning("no termination message", path=str(path), why=error.strerror)
