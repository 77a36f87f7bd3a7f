"""One model from its file to its last answer: loading, ready, idle, draining."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from time import monotonic
from typing import Any

import structlog

from vinoserve_api.contract import SERVING, Phase, RuntimeConfig, RuntimeFailure, RuntimeReport
from vinoserve_runtime.dataplane import Dataplane
from vinoserve_runtime.engine.compile import CompiledModel
from vinoserve_runtime.engine.devices import DeviceNodes
from vinoserve_runtime.engine.health import Faults, Health
from vinoserve_runtime.idle import RELOAD_PAUSE_SECONDS, RELOADS, Sleeper, sleep_when_idle
from vinoserve_runtime.loader import Loaded, Loader
from vinoserve_runtime.metrics import Metrics
from vinoserve_runtime.protocol.errors import NotReadyError
from vinoserve_runtime.report import Ledger, make_failure, make_report, make_time
from vinoserve_runtime.servers import Servers
from vinoserve_runtime.settings import LATE_SECONDS, OBSERVE_SECONDS, WATCH_SECONDS, ServeSettings

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
        self._loaded: Loaded | None = None
        self._sleeper: Sleeper | None = None
        """In the engine's place while nobody asks."""
        self._rest: asyncio.Future[None] | None = None
        """Until the model is loaded again."""
        self._has_started = False
        self._stop = asyncio.Event()
        self._faults = Faults()
        self._health: Health | None = None
        self._metrics = Metrics(config.model.name, config.model.version)
        self._metrics.report = self.report
        self._dataplane = Dataplane(config.model.name, config.model.version, config.limits, self._metrics)
        self._servers = Servers(settings, self._dataplane)
        self._loader = Loader(
            config,
            settings,
            self.ledger,
            self._faults,
            on_batch=self._metrics.batch_size.observe,
            enter=self._enter,
            on_progress=lambda: on_change(self),
        )

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
        return self._loader.is_busy or self.why_not_live() is not None

    def why_not_live(self) -> str | None:
        """None unless the device is lost for good."""
        return self._health.lost if self._health else None

    def why_not_started(self) -> str | None:
        return None if self._has_started else f"phase {self.ledger.phase}"

    def why_not_ready(self) -> str | None:
        """None while requests are let through and more are wanted."""
        if self._health is not None and (doubt := self._health.doubt) is not None:
            return doubt
        is_ready = self.ledger.phase in SERVING and self._dataplane.ready
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
            if self.settings.precompile:
                await self._until_stopped(self._loader.precompile())
            else:
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
        self._loaded = await self._loader.load()
        await self._servers.all_listen.wait()  # ready is said by all ports at once, and of all of them
        self._dataplane.attach(self._loaded.assembly.engine)
        self._has_started = True
        self._enter("Ready")
        while True:
            self._rest = asyncio.ensure_future(self._rest_until_asked(await self._watch(self._loaded)))
            await asyncio.shield(self._rest)  # who asks while it drains is answered too
            self._rest = None

    async def _rest_until_asked(self, sleeper: Sleeper) -> None:
        """Let go of the model and load it again once a request waits. Raises what the last of RELOADS failures was."""
        self.ledger.note_idle(released_at=make_time())
        self._enter("Idle")
        await self._let_go()
        for failures in count(1):
            await sleeper.wanted.wait()
            self._enter("Reloading")
            started = monotonic()
            try:
                loaded = await self._loader.load_again()
            except Exception as error:
                failure, name = make_failure(error), self.config.model.name
                self.ledger.note_idle(failure=failure, failed_reloads=self.ledger.idle.failed_reloads + 1)
                _log.warning("could not be loaded again", reason=failure.reason.value, why=failure.message)
                sleeper.refuse(NotReadyError(f"model {name} could not be loaded again: {failure.message}"))
                if failures == RELOADS:
                    self._dataplane.detach()
                    raise
            else:
                break
            self._enter("Idle")
            await self._let_go()
            await asyncio.sleep(RELOAD_PAUSE_SECONDS)
        self._loaded, self._sleeper = loaded, None
        seconds = _since(started)
        self._metrics.reload_seconds.observe(seconds)
        self.ledger.note_idle(
            released_at=None,
            reloads=self.ledger.idle.reloads + 1,
            reload_seconds=seconds,
            cache_hit=loaded.compiled.cache_hit,
            failure=None,
        )
        self._dataplane.attach(loaded.assembly.engine)
        sleeper.wake(loaded.assembly.engine)
        self._enter("Ready")

    async def _let_go(self) -> None:
        held = self._loaded.assembly.close() if self._loaded else []
        self._loaded = None
        await self._loader.let_go(held)

    async def _watch(self, loaded: Loaded) -> Sleeper:
        """Until nobody asks any more: what stands in for the engine then. Raises where the engine or the device is lost."""
        health = Health(self._faults, loaded.warm_up.proves_engine, self.ledger.startup.warmup_seconds or 0.0)
        self._health = health
        self._dataplane.doubted = lambda: health.doubt is not None
        asleep = asyncio.ensure_future(self._sleep_when_idle(loaded, health))
        watches = [
            asleep,
            *map(asyncio.ensure_future, (health.watch(), self._watch_device(loaded.compiled, health))),
        ]
        try:
            await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            for watch in watches:
                if watch.done():
                    watch.result()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        self._health, self._dataplane.doubted = None, lambda: False
        return asleep.result()

    async def _sleep_when_idle(self, loaded: Loaded, health: Health) -> Sleeper:
        """Where `spec.idle` asks for it. Nor while AUTO compiles, or the engine has to prove itself."""
        if self.config.release_after_seconds is None:
            await asyncio.Event().wait()

        def may_sleep() -> bool:
            device = self.ledger.device
            is_settled = device is None or not device.is_standing_in
            return is_settled and health.doubt is None and loaded.assembly.is_at_rest

        seconds = float(self.config.release_after_seconds or 0)
        self._sleeper = await sleep_when_idle(self._dataplane, loaded.assembly.engine, seconds, may_sleep)
        return self._sleeper

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
                await self._loader.observe(compiled)
                await self._loader.keep(compiled)
                observed = monotonic()

    async def _drain(self) -> None:
        """Readiness went down with the phase; answer what is on its way and in flight, then close."""
        if self._sleeper is not None and self._rest is None:
            self._rest = asyncio.ensure_future(self._rest_until_asked(self._sleeper))
        seconds = self.config.limits.request_timeout_seconds + LATE_SECONDS
        drained = await self._dataplane.drain(seconds if self.ledger.failure is None else 1.0)
        if not drained:
            _log.warning("requests were still in flight", seconds=seconds)
        if self._rest is not None:
            self._rest.cancel()
            await asyncio.gather(self._rest, return_exceptions=True)
        await self._servers.close()
        if not self.is_busy:
            await self._loader.close()

    def _enter(self, phase: Phase) -> None:
        if phase in SERVING and self._stop.is_set():
            return  # it drains, and loads once more for those who are let in yet
        self.ledger.enter(phase)
        if phase != "Failed":  # which is said once, with its reason, at the very end
            _log.info(phase, model=self.config.model.name)
        self._on_change(self)


def _since(started: float) -> float:
    return round(monotonic() - started, 3)
