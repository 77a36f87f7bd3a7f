"""The commands of the runtime: `fetch`, which the init container runs, and `serve`.

What they need is imported when they run: fetching needs no engine, and both say what is wrong with their configuration first.
"""

import asyncio
import faulthandler
import gc
import hashlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog
import uvloop

from vinoserve_api.contract import CLAIM_DIR, CREDENTIALS_DIR, IMAGE_DIR, RuntimeConfig, RuntimeFailure
from vinoserve_runtime.display import Display, make_display
from vinoserve_runtime.logs import configure_logs
from vinoserve_runtime.settings import ServeSettings

if TYPE_CHECKING:
    from vinoserve_runtime.lifecycle import Lifecycle

_log = structlog.get_logger()
_PROGRESS_SECONDS = 5.0


def fetch(config: RuntimeConfig, *, model_dir: Path, claim_dir: Path, credentials_dir: Path) -> int:
    """Fetch the model into `model_dir`; the exit code. Says how far it is, and in one line what went wrong."""
    from vinoserve_runtime.model.fetch import fetch_model  # noqa: PLC0415
    from vinoserve_runtime.model.urls import show_uri  # noqa: PLC0415
    from vinoserve_runtime.report import make_failure  # noqa: PLC0415

    configure_logs()
    said = time.monotonic()
    _log.info("fetching", uri=show_uri(config.model.uri))
    display = make_display()
    if display is not None:
        display.show("Fetching")

    def progress(done: int, total: int | None) -> None:
        nonlocal said
        if display is not None:
            display.show("Fetching", done, total)
        elif time.monotonic() - said >= _PROGRESS_SECONDS:
            said = time.monotonic()
            _log.info("fetching", bytes_done=done, bytes_total=total)

    try:
        with display or nullcontext():
            fetched = fetch_model(
                config.model,
                model_dir=model_dir,
                claim_dir=claim_dir,
                credentials_dir=credentials_dir,
                image_dir=Path(IMAGE_DIR) if Path(IMAGE_DIR).is_mount() else None,
                size_limit=config.model_size_limit,
                progress=progress,
            )
    except Exception as error:  # noqa: BLE001  faults of ours are said in the same way as any others
        return fail(make_failure(error))
    _log.info(
        "fetched",
        path=fetched.path,
        format=fetched.format,
        digest=fetched.digest,
        size_bytes=fetched.size_bytes,
        seconds=fetched.seconds,
    )
    return 0


def serve(
    config: RuntimeConfig,
    *,
    host: str,
    http_port: int,
    grpc_port: int,
    admin_port: int,
    model_dir: Path,
    cache_dir: Path | None,
    fetch: bool,
    precompile: bool = False,
    claim_dir: Path = Path(CLAIM_DIR),
    credentials_dir: Path = Path(CREDENTIALS_DIR),
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `fetch` and `precompile`: see `ServeSettings`."""
    configure_logs()
    faulthandler.enable()  # native code that crashes shows its stack
    settings = ServeSettings(
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        admin_port=admin_port,
        model_dir=_make_own_folder(model_dir, config) if fetch else model_dir,
        claim_dir=claim_dir,
        credentials_dir=credentials_dir,
        cache_dir=cache_dir,
        fetch=fetch,
        precompile=precompile,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lifecycle, failure = runner.run(_serve(config, settings))
    code = 0 if failure is None else fail(failure)
    if lifecycle.is_busy:
        _exit_now(code)
    return code


def _make_own_folder(model_dir: Path, config: RuntimeConfig) -> Path:
    """A user's models share a folder, where a pod has one to itself."""
    source = config.model
    key = hashlib.sha256(f"{source.uri} {source.digest} {source.format}".encode()).hexdigest()
    return model_dir / key[:16]


def import_engine() -> None:
    """What `serve` needs. Raises ModuleNotFoundError where it isn't installed.

    Nothing of it is ever garbage, and looking for some takes time.
    """
    gc.disable()
    import vinoserve_runtime.lifecycle  # noqa: F401, PLC0415

    gc.freeze()
    gc.enable()


async def _serve(config: RuntimeConfig, settings: ServeSettings) -> tuple["Lifecycle", RuntimeFailure | None]:
    from vinoserve_runtime.lifecycle import Lifecycle  # noqa: PLC0415

    display = make_display() if settings.fetch else None
    lifecycle = Lifecycle(config, settings, on_change=lambda lifecycle: _note_change(lifecycle, display))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifecycle.stop)
    return lifecycle, await lifecycle.run()


def _note_change(lifecycle: "Lifecycle", display: Display | None) -> None:
    from vinoserve_runtime.report import make_crash_note, write_termination_message  # noqa: PLC0415

    ledger = lifecycle.ledger
    if display is not None:
        is_fetching = ledger.phase == "Fetching"
        display.show(ledger.phase, *((ledger.bytes_done, ledger.bytes_total) if is_fetching else ()))
    if ledger.phase not in ("Fetching", "Failed"):
        write_termination_message(make_crash_note(ledger.phase, lifecycle.config.target_device))
    if ledger.phase == "Ready":
        gc.freeze()  # what is here stays: requests make no garbage but their own
        if lifecycle.settings.fetch and not ledger.idle.reloads:
            _say_ready(lifecycle)


def _say_ready(lifecycle: "Lifecycle") -> None:
    """For the person who started it."""
    host = lifecycle.settings.host
    shown = f"[{host}]" if ":" in host else host
    name, report = lifecycle.config.model.name, lifecycle.report()
    device = show_devices(report.execution_devices, report.target_device)
    print(  # noqa: T201
        f"{name} is ready on {device}: http://{shown}:{lifecycle.rest_port}/v2/models/{name} "
        f"(gRPC: {shown}:{lifecycle.grpc_port}, report: http://{shown}:{lifecycle.admin_port}/report)",
        flush=True,
    )


def show_devices(execution_devices: Sequence[str], target: str) -> str:
    """Without the brackets in which OpenVINO puts a device that stands in while AUTO compiles for another."""
    shown = ", ".join(device.strip("()") for device in execution_devices)
    stands_in = any(device.startswith("(") for device in execution_devices)
    return f"{shown} until {target} has compiled" if stands_in else shown


def refuse(failure: RuntimeFailure) -> int:
    """Fail before there is anything to run."""
    configure_logs()
    return fail(failure)


def fail(failure: RuntimeFailure) -> int:
    """One line for who looks, the termination message for the kubelet; the exit code."""
    from vinoserve_runtime.report import write_termination_message  # noqa: PLC0415

    _log.error(failure.message, reason=failure.reason.value)
    write_termination_message(failure)
    return 1


def _exit_now(code: int) -> NoReturn:
    """A call into OpenVINO is still running and can't be interrupted: leave without waiting for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
