"""Everything between a configuration and a model that can be asked: fetching, reading, compiling, comparing, warming up.

OpenVINO's long calls run in a thread of their own, so that probes and the report are answered meanwhile.
"""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import Phase, RuntimeConfig
from vinoserve_api.v1alpha1 import Parity
from vinoserve_runtime.engine.assembly import Assembly, assemble
from vinoserve_runtime.engine.cache import SETTLED_SECONDS, CompiledCache
from vinoserve_runtime.engine.compile import CompiledModel, DeviceState, compile_model
from vinoserve_runtime.engine.health import Faults
from vinoserve_runtime.engine.parity import Reference, compare, explain_mismatch
from vinoserve_runtime.engine.pictures import take_pictures
from vinoserve_runtime.engine.plan import DevicePlan, make_plan, prepare_core
from vinoserve_runtime.engine.preflight import make_preflight
from vinoserve_runtime.engine.warmup import WarmUp
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.idle import give_memory_back
from vinoserve_runtime.model.fetch import fetch_model, need_unchanged, verify_again
from vinoserve_runtime.model.fetched import Fetched, need_fetched
from vinoserve_runtime.model.prepare import PreparedModel, prepare_model
from vinoserve_runtime.ov import ov
from vinoserve_runtime.report import Ledger
from vinoserve_runtime.settings import WATCH_SECONDS, ServeSettings
from vinoserve_runtime.threads import Worker


@dataclass(frozen=True)
class Loaded:
    """A model that can be asked."""

    compiled: CompiledModel
    assembly: Assembly
    warm_up: WarmUp


class Loader:
    """Belongs to one event loop. What it finds goes into the ledger, as it happens."""

    def __init__(
        self,
        config: RuntimeConfig,
        settings: ServeSettings,
        ledger: Ledger,
        faults: Faults,
        *,
        on_batch: Callable[[int], None],
        enter: Callable[[Phase], None],
        on_progress: Callable[[], None],
    ) -> None:
        """`on_batch`: see `assemble`. `enter` is called when a phase begins, `on_progress` as bytes are fetched."""
        self.config = config
        self.settings = settings
        self.ledger = ledger
        self._faults = faults
        self._on_batch = on_batch
        self._enter = enter
        self._on_progress = on_progress
        self._worker = Worker()
        self._compiled: CompiledModel | None = None
        """Of the latest load, also of one that failed later on."""

    @property
    def is_busy(self) -> bool:
        """Whether a call into OpenVINO is under way, which nothing can interrupt."""
        return self._worker.is_busy

    async def load(self) -> Loaded:
        """For the first time. The graph, with its weights, is let go of when this returns. Raises StartupError."""
        fetched = await self._fetch()
        core = ov.Core()
        plan, prepared = await self._read(core, fetched)
        compiled = await self._compile(core, plan, prepared)
        started = monotonic()
        await self._until_on_device(compiled)
        self.ledger.note(
            compile_seconds=round((self.ledger.startup.compile_seconds or 0.0) + _since(started), 3)
        )
        assembly = assemble(compiled, self._faults, self._on_batch)
        # first of all inferences: one that OpenVINO fails half-way, or of a degenerate size, would spoil those after it
        warm_up = await self._warm(assembly)
        if self.config.parity is not None:
            await self._compare(self.config.parity, fetched, prepared, assembly)
        engine = take_pictures(assembly.engine, prepared, self.config.limits.max_image_pixels)
        self.ledger.inputs, self.ledger.outputs = engine.inputs, engine.outputs
        return Loaded(compiled, replace(assembly, engine=engine), warm_up)

    async def precompile(self) -> None:
        """For those who start after this. Raises StartupError, CacheUnusable too."""
        compiled = (await self.load()).compiled
        await asyncio.sleep(SETTLED_SECONDS + 0.1)  # kernels are written in the background
        await self.keep(compiled)
        if not compiled.is_kept:
            why = "; ".join(compiled.cache_warnings) or "this device's compiler keeps nothing"
            raise StartupError(
                FailureReason.CACHE_UNUSABLE, f"the model is compiled and can't be kept for other pods: {why}"
            )

    async def load_again(self) -> Loaded:
        """As it was before `let_go`, with no more than that takes. Raises StartupError."""
        run, config, fetched = self._worker.run, self.config, self.ledger.fetched
        assert fetched is not None  # noqa: S101  `load` has worked
        await run(lambda: need_unchanged(fetched))
        core = ov.Core()
        plan = await run(lambda: make_plan(core, config))
        prepare_core(core, plan)
        prepared = await run(lambda: prepare_model(core, fetched.model_path, config))
        compiled = await run(lambda: compile_model(core, prepared, config, plan, self._make_cache()))
        self._compiled = compiled
        await self._until_on_device(compiled)
        assembly = assemble(compiled, self._faults, self._on_batch)
        warm_up = WarmUp(assembly.pool, self._faults, min(1, config.warmup_requests))
        try:
            await warm_up.run()
        except StartupError:
            assembly.close()
            raise
        engine = take_pictures(assembly.engine, prepared, config.limits.max_image_pixels)
        return Loaded(compiled, replace(assembly, engine=engine), warm_up)

    async def let_go(self, held: list[Any]) -> None:
        """Of what was loaded, and of its memory; in a thread, as it takes a while. `held`: see `Assembly.close`."""
        held.append(self._compiled)
        await self.close()
        await self._worker.run(held.clear)
        await self._worker.run(give_memory_back)

    async def close(self) -> None:
        """Leave nothing in the cache but what is kept. When nothing is inferred any more."""
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            await self._worker.run(compiled.close)

    async def observe(self, compiled: CompiledModel) -> DeviceState:
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

    async def keep(self, compiled: CompiledModel) -> None:
        """What AUTO and a GPU with changing shapes compile later goes into the cache too."""
        await self._worker.run(compiled.keep)
        idle = self.ledger.idle
        if idle.released_at is None and not idle.reloads:  # it is the start's
            self.ledger.note(cache_hit=compiled.cache_hit)
        self.ledger.warn(*compiled.cache_warnings)

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
                    size_limit=self.config.model_size_limit,
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
        self._on_progress()

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
        must_be = (
            self.config.on_fallback == "Fail" or self.config.parity is not None or self.settings.precompile
        )
        while (await self.observe(compiled)).is_standing_in and must_be:  # noqa: ASYNC110  OpenVINO tells nobody
            await asyncio.sleep(WATCH_SECONDS / 4)
        await self.keep(compiled)

    def _make_cache(self) -> CompiledCache | None:
        root, fetched = self.settings.cache_dir, self.ledger.fetched
        if root is None or fetched is None:
            return None
        return CompiledCache(root, self.config.cache_size_limit, fetched.content_digest, fetched.size_bytes)

    async def _warm(self, assembly: Assembly) -> WarmUp:
        self._enter("WarmingUp")
        started = monotonic()
        warm_up = WarmUp(assembly.pool, self._faults, self.config.warmup_requests)
        self.ledger.warn(*await warm_up.run())
        self.ledger.note(warmup_seconds=_since(started))
        return warm_up

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


def _since(started: float) -> float:
    return round(monotonic() - started, 3)
