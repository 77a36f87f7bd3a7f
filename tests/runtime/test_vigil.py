"""The event loop stays awake for requests that come one right after the other, and for nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import pytest

from vinoserve_runtime import vigil
from vinoserve_runtime.vigil import Vigil, count_processors

Sleeps = Callable[[], Awaitable[bool]]


@pytest.fixture
def sleeps() -> Sleeps:
    """Whether the loop has nothing left to do, and so waits for its sockets."""

    async def look() -> bool:
        await asyncio.sleep(0)
        return not asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # the standard loop's

    return look


async def test_after_rare_requests_it_sleeps(monkeypatch: pytest.MonkeyPatch, sleeps: Sleeps) -> None:
    monkeypatch.setattr(vigil, "AWAKE_SECONDS", 60.0)
    watch, now = Vigil(), perf_counter()
    watch.note(now, now + 0.001)
    watch.note(now + 1.0, now + 1.001)
    assert await sleeps()


async def wait_awake(turns: int) -> None:
    """As the loop does it while nothing comes."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_after_frequent_requests_it_is_awake_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, sleeps: Sleeps
) -> None:
    monkeypatch.setattr(vigil, "AWAKE_SECONDS", 60.0)
    watch, now = Vigil(), perf_counter()
    watch.note(now, now + 0.001)
    watch.note(now + 0.0011, now + 0.002)
    await wait_awake(2 * vigil.LONE_TURNS)
    assert not await sleeps()
    monkeypatch.setattr(vigil, "AWAKE_SECONDS", -60.0)
    watch.note(now + 0.0021, now + 0.003)
    await asyncio.sleep(0)
    assert await sleeps()


async def test_where_many_clients_ask_it_sleeps(monkeypatch: pytest.MonkeyPatch, sleeps: Sleeps) -> None:
    monkeypatch.setattr(vigil, "AWAKE_SECONDS", 60.0)
    watch, now = Vigil(), perf_counter()
    watch.note(now, now + 0.001)
    watch.note(now + 0.0011, now + 0.002)
    await asyncio.sleep(0)
    watch.note(now + 0.0021, now + 0.003)
    await asyncio.sleep(0)
    assert await sleeps()


@pytest.mark.parametrize(
    ("text", "share"), [("150000 100000\n", 1.5), ("50000 100000\n", 0.5), ("max 100000\n", None), ("", None)]
)
def test_a_containers_share_counts(tmp_path: Path, text: str, share: float | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    everything = count_processors(tmp_path / "nothing")
    assert count_processors(file) == (everything if share is None else min(everything, share))
