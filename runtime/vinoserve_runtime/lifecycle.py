"""One model from its file to its last answer: fetching, reading, compiling, comparing, warming up, ready, draining.

OpenVINO's long calls run in a thread of their own, so that probes and the report are answered meanwhile.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from dataclasses import replace
from time import monotonic
from typing import Any

import structlog

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import Phase, RuntimeConfig, RuntimeFailure, RuntimeReport
from vinoserve_api.v1alpha1 import Parity
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.engine.assembly import Assembly, assemble
from vinoserve_runtime.engine.cache import CompiledCache
from vinoserve_runtime.engine.compile import CompiledModel, DeviceState, compile_model
from vinoserve_runtime.engine.devices import DeviceNodes
from vinoserve_runtime.engine.health import Faults, Health
from vinoserve_runtime.engine.parity import Reference, compare, explain_mismatch
from vinoserve_runtime.engine.pictures import take_pictures
from vinoserve_runtime.engine.plan import DevicePlan, make_plan, prepare_core
from vinoserve_runtime.engine.preflight import make_preflight
from vinoserve_runtime.engine.warmup import WarmUp
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.model.fetch import fetch_model, verify_again
from vinoserve_runtime.model.fetched import Fetched, need_fetched
from vinoserve_runtime.model.prepare import PreparedModel, prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.report import Ledger, make_failure, make_report
from vinoserve_runtime.servers import Servers
from vinoserve_runtime.settings import LATE_SECONDS, OBSERVE_SECONDS, WATCH_SECONDS, ServeSettings
from vinoserve_runtime.threads import Worker

_log = structlog.get_logger()


class Lifecycle:
    """Made, run and finished on one event loop."""

    def __init__(
        self,
        config: RuntimeConfig,
        settings: ServeSettings,
        on_change: Callable[["Lifecycle"], None] = lambda _: None,
    ) -> None:
        """`on_change` is called when a phase begins, and as bytes are fetched."""
        self.config = config
        self.settings = settings
        self.ledger = Ledger(config)
        self._on_change = on_change
        self._compiled: CompiledModel | None = None
        self._has_started = False
        self._stop = asyncio.Event()
        self._worker = Worker()
        self._faults = Faults()
        self._health: Health | None = None
        self._metrics = Metrics(config.model.name, config.model.version)
        self._metrics.report = self.report
        self._dataplane = Dataplane(config.model.name, config.model.version, config.limits, self._metrics)
        self._servers = Servers(settings, self._dataplane)

    @property
    def rest_port(self) -> int:
        """0 until it is listened on, as the others."""
        return self._servers.rest_port

    @property
    def grpc_port(self) -> int:
        return self._servers.grpc_port

    @property
    def admin_port(self) -> int:
        return self._servers.admin_port

    @property
    def is_busy(self) -> bool:
        """Whether a call into OpenVINO may be under way that nothing can interrupt."""
        return self._worker.is_busy or self.why_not_live() is not None

    def why_not_live(self) -> str | None:
        """None unless the device is lost for good."""
        return self._health.lost if self._health else None

    def why_not_started(self) -> str | None:
        return None if self._has_started else f"phase {self.ledger.phase}"

    def why_not_ready(self) -> str | None:
        """None while requests are let through and more are wanted."""
        if self._health is not None and (doubt := self._health.doubt) is not None:
            return doubt
        is_ready = self.ledger.phase == "Ready" and self._dataplane.ready
        return None if is_ready else f"phase {self.ledger.phase}"

    def report(self) -> RuntimeReport:
        self.ledger.engine_errors = self._faults.total
        return make_report(self.ledger, monotonic())

    def stop(self) -> None:
        """Begin to drain; what SIGTERM does."""
        self._stop.set()

    async def run(self) -> RuntimeFailure | None:
        """Serve until `stop`; the failure where it ended otherwise."""
        try:
            await self._servers.start(
                live=self.why_not_live,
                ready=self.why_not_ready,
                started=self.why_not_started,
                report=self.report,
                registry=self._metrics.registry,
            )
            await self._until_stopped(self._servers.start_grpc(), self._serve())
        except Exception as error:  # noqa: BLE001  faults of ours are said in the same way as any others
            self.ledger.failure = make_failure(error)
            self._enter("Failed")
        else:
            self._enter("Draining")
        await self._drain()
        return self.ledger.failure

    async def _until_stopped(self, *works: Coroutine[Any, Any, None]) -> None:
        """Until one of them fails, at the latest."""
        tasks = [asyncio.ensure_future(work) for work in works]
        work: asyncio.Future[list[None]] = asyncio.gather(*tasks)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(work, *tasks, stopped, return_exceptions=True)

    async def _serve(self) -> None:
        compiled, assembly, warm_up = await self._make_engine(await self._fetch())
        await self._servers.all_listen.wait()  # ready is said by all ports at once, and of all of them
        self._dataplane.attach(assembly.engine)
        self._has_started = True
        self._enter("Ready")
        await self._watch(compiled, warm_up)

    async def _make_engine(self, fetched: Fetched) -> tuple[CompiledModel, Assembly, WarmUp]:
        """The graph, with its weights, is let go of when this returns."""
        core = ov.Core()
        plan, prepared = await self._read(core, fetched)
        compiled = await self._compile(core, plan, prepared)
        await self._until_on_device(compiled)
        assembly = assemble(compiled, self._faults, self._metrics.batch_size.observe)
        # first of all inferences: one that OpenVINO fails half-way, or of a degenerate size, would spoil those after it
        warm_up = await self._warm(assembly)
        if self.config.parity is not None:
            await self._compare(self.config.parity, fetched, prepared, assembly)
        engine = take_pictures(assembly.engine, prepared, self.config.limits.max_image_pixels)
        self.ledger.inputs, self.ledger.outputs = engine.inputs, engine.outputs
        return compiled, replace(assembly, engine=engine), warm_up

    async def _fetch(self) -> Fetched:
        self._enter("Fetching")
        settings, source = self.settings, self.config.model
        if settings.fetch:
            loop = asyncio.get_running_loop()

            def progress(done: int, total: int | None) -> None:
                loop.call_soon_threadsafe(self._note_progress, done, total)

            fetched = await self._worker.run(
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
            await self._worker.run(lambda: verify_again(source, fetched))
        self.ledger.fetched = fetched
        self.ledger.note(fetch_seconds=fetched.seconds)
        self.ledger.warn(*fetched.warnings)
        return fetched

    def _note_progress(self, done: int, total: int | None) -> None:
        self.ledger.bytes_done, self.ledger.bytes_total = done, total
        self._on_change(self)

    async def _read(self, core: Any, fetched: Fetched) -> tuple[DevicePlan, PreparedModel]:
        self._enter("Reading")
        plan = await self._worker.run(lambda: make_plan(core, self.config))
        started = monotonic()
        prepare_core(core, plan)
        prepared = await self._worker.run(lambda: prepare_model(core, fetched.model_path, self.config))
        self.ledger.warn(*prepared.warnings)
        preflight = await self._worker.run(lambda: make_preflight(core, prepared, self.config, plan))
        self.ledger.placement = preflight.placement
        self.ledger.warn(*preflight.warnings)
        self.ledger.note(read_seconds=_since(started))
        return plan, prepared

    async def _compile(self, core: Any, plan: DevicePlan, prepared: PreparedModel) -> CompiledModel:
        self._enter("Compiling")
        started = monotonic()
        compiled = await self._worker.run(
            lambda: compile_model(core, prepared, self.config, plan, self._make_cache())
        )
        self._compiled = compiled
        self.ledger.note(compile_seconds=_since(started), cache_hit=compiled.cache_hit)
        if plan.target.batch is not None and compiled.infer_requests < plan.target.batch:
            self.ledger.warn(f"{plan.target} puts no requests together: the model doesn't let its batch grow")
        return compiled

    async def _until_on_device(self, compiled: CompiledModel) -> None:
        """Where nothing but the requested device will do, or it is to be compared, wait until AUTO has compiled for it."""
        started, already = monotonic(), self.ledger.startup.compile_seconds or 0.0
        must_be = self.config.on_fallback == "Fail" or self.config.parity is not None
        while (await self._observe(compiled)).is_standing_in and must_be:
            await asyncio.sleep(WATCH_SECONDS / 4)
            self.ledger.note(compile_seconds=round(already + _since(started), 3))
        await self._keep(compiled)

    async def _keep(self, compiled: CompiledModel) -> None:
        """What AUTO and a GPU with changing shapes compile later goes into the cache too."""
        await self._worker.run(compiled.keep)
        self.ledger.note(cache_hit=compiled.cache_hit)
        self.ledger.warn(*compiled.cache_warnings)

    def _make_cache(self) -> CompiledCache | None:
        root, fetched = self.settings.cache_dir, self.ledger.fetched
        if root is None or fetched is None:
            return None
        return CompiledCache(root, self.config.cache_size_limit, fetched.content_digest, fetched.size_bytes)

    async def _compare(
        self, parity: Parity, fetched: Fetched, prepared: PreparedModel, assembly: Assembly
    ) -> None:
        """Raises ParityMismatch where the target computes something else than the reference, and `onMismatch` is Fail."""
        self._enter("Comparing")
        started = monotonic()
        reference = await self._worker.run(lambda: Reference(prepared))
        self.ledger.parity, worst = await compare(
            assembly.pool, reference.open(), parity, fetched.folder, reference.limits, planes=prepared.planes
        )
        self.ledger.note(parity_seconds=_since(started))
        del reference
        gc.collect()  # its infer requests and their pool hold each other
        if worst is None:
            return
        devices = self.ledger.device.execution_devices if self.ledger.device else ()
        text = explain_mismatch(worst, self.config, prepared.model, devices)
        if parity.on_mismatch == "Fail":
            raise StartupError(FailureReason.PARITY_MISMATCH, text)
        self.ledger.warn(text)

    async def _observe(self, compiled: CompiledModel) -> DeviceState:
        """Look at what runs the model. Raises FellBackToCPU where that isn't tolerated."""
        before, state = self.ledger.device, compiled.observe()
        is_news = before is None or before.execution_devices != state.execution_devices
        is_fallback = not (state.on_requested_device or state.is_standing_in)
        error = None
        if is_news and is_fallback and self.config.on_fallback != "Allow":
            error = await self._worker.run(lambda: compiled.explain_fallback(state))
        self.ledger.device = state
        if error is not None and self.config.on_fallback == "Fail":
            raise error
        if error is not None:
            self.ledger.warn(str(error))
        return state

    async def _warm(self, assembly: Assembly) -> WarmUp:
        self._enter("WarmingUp")
        started = monotonic()
        warm_up = WarmUp(assembly.pool, self._faults, self.config.warmup_requests)
        self.ledger.warn(*await warm_up.run())
        self.ledger.note(warmup_seconds=_since(started))
        return warm_up

    async def _watch(self, compiled: CompiledModel, warm_up: WarmUp) -> None:
        """Until cancelled, or the engine or the device is lost."""
        health = Health(self._faults, warm_up.proves_engine, self.ledger.startup.warmup_seconds or 0.0)
        self._health = health
        self._dataplane.doubted = lambda: health.doubt is not None
        watches = [asyncio.ensure_future(w) for w in (health.watch(), self._watch_device(compiled, health))]
        try:
            await asyncio.gather(*watches)
        finally:
            for watch in watches:
                watch.cancel()

    async def _watch_device(self, compiled: CompiledModel, health: Health) -> None:
        observed = monotonic()
        # AUTO goes on without a device that it loses, which is a fallback and no end
        nodes = DeviceNodes(() if compiled.plan.target.mode == "AUTO" else compiled.plan.target.kinds)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            standing_in = self.ledger.device is not None and self.ledger.device.is_standing_in
            if standing_in or _since(observed) >= OBSERVE_SECONDS:
                if (lost := nodes.find_lost()) is not None:
                    health.lose(lost)
                await self._observe(compiled)
                await self._keep(compiled)
                observed = monotonic()

    async def _drain(self) -> None:
        """Readiness went down with the phase; answer what is on its way and in flight, then close."""
        seconds = self.config.limits.request_timeout_seconds + LATE_SECONDS
        drained = await self._dataplane.drain(seconds if self.ledger.failure is None else 1.0)
        if not drained:
            _log.warning("requests were still in flight", seconds=seconds)
        await self._servers.close()
        if self._compiled is not None and not self.is_busy:
            await self._worker.run(self._compiled.close)

    def _enter(self, phase: Phase) -> None:
        self.ledger.enter(phase)
        if phase != "Failed":  # which is said once, with its reason, at the very end
            _log.info(phase, model=self.config.model.name)
        self._on_change(self)


def _since(started: float) -> float:
    return round(monotonic() - started, 3)
