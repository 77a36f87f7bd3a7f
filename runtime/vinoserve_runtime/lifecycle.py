"""One model from its file to its last answer: fetching, reading, compiling, warming up, ready, draining.

OpenVINO's long calls run in a thread of their own, so that probes and the report are answered meanwhile.
"""

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from time import monotonic
from typing import Any, TypeVar

import structlog

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import Phase, RuntimeConfig, RuntimeFailure, RuntimeReport
from vinoserve_runtime import admin, rest
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.engine.compile import (
    CompiledModel,
    DeviceState,
    compile_model,
    make_plan,
    prepare_core,
)
from vinoserve_runtime.engine.pool import InferRequestPool
from vinoserve_runtime.engine.warmup import WarmUp
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.model.fetch import fetch_model, verify_again
from vinoserve_runtime.model.fetched import Fetched, need_fetched
from vinoserve_runtime.model.prepare import prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.report import Ledger, make_failure, make_report
from vinoserve_runtime.settings import (
    LATE_SECONDS,
    MAX_CONSECUTIVE_ERRORS,
    OBSERVE_SECONDS,
    WATCH_SECONDS,
    ServeSettings,
)

_log = structlog.get_logger()
_T = TypeVar("_T")


class Lifecycle:
    """Made, run and finished on one event loop."""

    def __init__(
        self,
        config: RuntimeConfig,
        settings: ServeSettings,
        on_ready: Callable[["Lifecycle"], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.settings = settings
        self.ledger = Ledger(config)
        self.is_busy = False
        """Whether a call into OpenVINO is under way that nothing can interrupt."""
        self.rest_port = self.grpc_port = self.admin_port = 0
        self._on_ready = on_ready
        self._lost: str | None = None
        self._has_started = False
        self._stop = asyncio.Event()
        self._metrics = Metrics(config.model.name, config.model.version)
        self._dataplane = Dataplane(config.model.name, config.model.version, config.limits, self._metrics)
        self._pool: InferRequestPool | None = None
        self._warm_up: WarmUp | None = None

    def why_not_live(self) -> str | None:
        """None unless the engine is lost for good."""
        return self._lost

    def why_not_started(self) -> str | None:
        return None if self._has_started else f"phase {self.ledger.phase}"

    def why_not_ready(self) -> str | None:
        """None while requests are let through and more are wanted."""
        is_ready = self.ledger.phase == "Ready" and self._dataplane.ready
        return None if is_ready else f"phase {self.ledger.phase}"

    def report(self) -> RuntimeReport:
        if self._pool is not None:
            self.ledger.engine_errors = self._pool.errors
        return make_report(self.ledger, monotonic())

    def stop(self) -> None:
        """Begin to drain; what SIGTERM does."""
        self._stop.set()

    async def run(self) -> RuntimeFailure | None:
        """Serve until `stop`; the failure where it ended otherwise."""
        servers: list[Any] = []
        try:
            servers.append(await self._listen_admin())
            servers.append(await self._listen_rest())
            servers.append(await self._listen_grpc())
            await self._until_stopped(self._serve())
        except Exception as error:  # noqa: BLE001  faults of ours are said in the same way as any others
            self.ledger.failure = make_failure(error)
            self._enter("Failed")
        else:
            self._enter("Draining")
        await self._drain(servers)
        return self.ledger.failure

    async def _listen_admin(self) -> Any:
        server = await _listen(
            admin.start(
                self.settings.host or None,
                self.settings.admin_port,
                live=self.why_not_live,
                ready=self.why_not_ready,
                started=self.why_not_started,
                report=self.report,
                registry=self._metrics.registry,
            ),
            self.settings.admin_port,
        )
        self.admin_port = server.port
        return server

    async def _listen_rest(self) -> Any:
        server = await _listen(
            rest.start(self._dataplane, self.settings.host or None, self.settings.http_port),
            self.settings.http_port,
        )
        self.rest_port = server.port
        return server

    async def _listen_grpc(self) -> Any:
        # grpcio takes a moment to import, and probes want answers.
        grpc = await asyncio.to_thread(import_module, "vinoserve_runtime.grpc")
        server = await _listen(
            grpc.start(self._dataplane, self.settings.host or None, self.settings.grpc_port),
            self.settings.grpc_port,
        )
        self.grpc_port = server.port
        return server

    async def _until_stopped(self, serving: Any) -> None:
        work = asyncio.ensure_future(serving)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, stopped):
                task.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)

    async def _serve(self) -> None:
        fetched = await self._fetch()
        core = ov.Core()
        compiled = await self._compile(core, fetched)
        self.ledger.inputs, self.ledger.outputs = compiled.inputs, compiled.outputs
        self.ledger.warn(*compiled.warnings)
        await self._until_on_device(compiled)
        self._pool = InferRequestPool(
            compiled.compiled,
            compiled.inputs,
            compiled.outputs,
            compiled.infer_requests,
            on_cpu=compiled.on_cpu,
        )
        await self._warm(self._pool)
        self._dataplane.attach(self._pool)
        self._has_started = True
        self._enter("Ready")
        self._on_ready(self)
        await self._watch(compiled, self._pool)

    async def _fetch(self) -> Fetched:
        self._enter("Fetching")
        settings, source = self.settings, self.config.model
        if settings.fetch:
            loop = asyncio.get_running_loop()

            def progress(done: int, total: int | None) -> None:
                loop.call_soon_threadsafe(self._note_progress, done, total)

            fetched = await self._in_thread(
                lambda: fetch_model(
                    source,
                    model_dir=settings.model_dir,
                    claim_dir=settings.claim_dir,
                    credentials_dir=settings.credentials_dir,
                    progress=progress,
                )
            )
        else:
            fetched = need_fetched(settings.model_dir, source.uri)
            await self._in_thread(lambda: verify_again(source, fetched))
        self.ledger.fetched = fetched
        self.ledger.note(fetch_seconds=fetched.seconds)
        self.ledger.warn(*fetched.warnings)
        return fetched

    def _note_progress(self, done: int, total: int | None) -> None:
        self.ledger.bytes_done, self.ledger.bytes_total = done, total

    async def _compile(self, core: Any, fetched: Fetched) -> CompiledModel:
        self._enter("Reading")
        plan = await self._in_thread(lambda: make_plan(core, self.config))
        started = monotonic()
        prepare_core(core, plan)
        prepared = await self._in_thread(lambda: prepare_model(core, fetched.model_path, self.config))
        self.ledger.warn(*prepared.warnings)
        self.ledger.note(read_seconds=_since(started))
        self._enter("Compiling")
        started = monotonic()
        compiled = await self._in_thread(
            lambda: compile_model(core, prepared, self.config, plan, self.settings.cache_dir)
        )
        self.ledger.note(compile_seconds=_since(started), cache_hit=compiled.cache_hit)
        return compiled

    async def _until_on_device(self, compiled: CompiledModel) -> None:
        """Where nothing but the requested device will do, wait until AUTO has compiled for it."""
        started, already = monotonic(), self.ledger.startup.compile_seconds or 0.0
        while (await self._observe(compiled)).is_standing_in and self.config.on_fallback == "Fail":
            await asyncio.sleep(WATCH_SECONDS / 4)
            self.ledger.note(compile_seconds=round(already + _since(started), 3))

    async def _observe(self, compiled: CompiledModel) -> DeviceState:
        """Look at what runs the model. Raises FellBackToCPU where that isn't tolerated."""
        before, state = self.ledger.device, compiled.observe()
        is_news = before is None or before.execution_devices != state.execution_devices
        is_fallback = not (state.on_requested_device or state.is_standing_in)
        error = None
        if is_news and is_fallback and self.config.on_fallback != "Allow":
            error = await self._in_thread(lambda: compiled.explain_fallback(state))
        self.ledger.device = state
        if error is not None and self.config.on_fallback == "Fail":
            raise error
        if error is not None:
            self.ledger.warn(str(error))
        return state

    async def _warm(self, pool: InferRequestPool) -> None:
        self._enter("WarmingUp")
        started = monotonic()
        self._warm_up = WarmUp(pool, self.config.warmup_requests)
        self.ledger.warn(*await self._warm_up.run())
        self.ledger.note(warmup_seconds=_since(started))

    async def _watch(self, compiled: CompiledModel, pool: InferRequestPool) -> None:
        """Until cancelled, or the engine or the device is lost."""
        observed = monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if pool.consecutive_errors >= MAX_CONSECUTIVE_ERRORS:
                await self._prove(pool)
            standing_in = self.ledger.device is not None and self.ledger.device.is_standing_in
            if standing_in or _since(observed) >= OBSERVE_SECONDS:
                await self._observe(compiled)
                observed = monotonic()

    async def _prove(self, pool: InferRequestPool) -> None:
        """Failures in a row may be the clients' doing; the warm-up's own inference tells. Raises InferenceFailed."""
        if self._warm_up is None or await self._warm_up.proves_engine():
            pool.consecutive_errors = 0
            return
        self._dataplane.detach()
        self._lost = (
            f"{pool.consecutive_errors} inferences failed in a row, and so does the one that worked at the start: "
            f"{self._warm_up.last_error}"
        )
        raise StartupError(FailureReason.INFERENCE_FAILED, self._lost)

    async def _drain(self, servers: list[Any]) -> None:
        """Readiness went down with the phase; answer what is on its way and in flight, then close."""
        seconds = self.config.limits.request_timeout_seconds + LATE_SECONDS
        drained = await self._dataplane.drain(seconds if self.ledger.failure is None else 1.0)
        if not drained:
            _log.warning("requests were still in flight", seconds=seconds)
        for server in reversed(servers):
            server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                for server in reversed(servers):
                    await server.wait_closed()

    def _enter(self, phase: Phase) -> None:
        self.ledger.enter(phase)
        if phase != "Failed":  # which is said once, with its reason, at the very end
            _log.info(phase, model=self.config.model.name)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """`work` in a thread that doesn't keep the process from ending."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def settle(result: _T | None, error: BaseException | None) -> None:
            self.is_busy = False
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            try:
                result, error = work(), None
            except BaseException as failure:  # noqa: BLE001  handed to the one who waits
                result, error = None, failure
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, result, error)

        self.is_busy = True
        threading.Thread(target=run, name="openvino", daemon=True).start()
        return await future


def _since(started: float) -> float:
    return round(monotonic() - started, 3)


async def _listen(starting: Any, port: int) -> Any:
    try:
        return await starting
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                FailureReason.PORT_IN_USE, f"port {port} is taken on this machine; choose another"
            ) from error
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            f"can't listen on port {port} of this address: {error.strerror or error}",
        ) from error
