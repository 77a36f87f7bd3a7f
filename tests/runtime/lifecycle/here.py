"""A runtime on the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.models import write_adder
from tests.runtime.configs import make_config
from vinoserve_api.contract import RuntimeFailure
from vinoserve_runtime.lifecycle import Lifecycle
from vinoserve_runtime.settings import ServeSettings


def make_settings(folder: Path, *, cache_dir: Path | None, precompile: bool = False) -> ServeSettings:
    return ServeSettings(
        host="127.0.0.1",
        http_port=0,
        grpc_port=0,
        admin_port=0,
        model_dir=folder / "models",
        claim_dir=folder / "claim",
        credentials_dir=folder / "credentials",
        cache_dir=cache_dir,
        fetch=True,
        precompile=precompile,
    )


@asynccontextmanager
async def running(
    folder: Path, **fields: Any
) -> AsyncIterator[tuple[Lifecycle, asyncio.Task[RuntimeFailure | None]]]:
    settings = make_settings(folder, cache_dir=fields.pop("cache_dir", None))
    model = fields.pop("path", None) or write_adder(
        folder / "m.xml", element_type=fields.pop("element_type", "f32")
    )
    lifecycle = Lifecycle(make_config(model, **fields), settings)
    task = asyncio.create_task(lifecycle.run())
    try:
        yield lifecycle, task
    finally:
        lifecycle.stop()
        await task


async def until(condition: Callable[[], object], task: "asyncio.Task[Any]") -> None:
    async with asyncio.timeout(60):
        while not condition():
            assert not task.done(), task.result()
            await asyncio.sleep(0.005)
