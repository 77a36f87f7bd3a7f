"""Failures become a doubt, a doubt a proof, and failed proofs the end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.engine import health as health_module
from vinoserve_runtime.engine.health import MAX_CONSECUTIVE_ERRORS, PROOFS, Faults, Health
from vinoserve_runtime.errors import StartupError


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "PROOF_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(health_module, "PROOF_SECONDS", 0.05)


def fail(faults: Faults, times: int = MAX_CONSECUTIVE_ERRORS) -> None:
    for _ in range(times):
        faults.note("Add: shapes don't fit")


def proofs(faults: Faults, *outcomes: bool) -> Callable[[], Awaitable[bool]]:
    left = list(outcomes)

    async def prove() -> bool:
        works = left.pop(0)
        if not works:
            faults.note("broken")
        return works

    return prove


async def test_a_row_of_failures_is_a_doubt_that_a_proof_dispels() -> None:
    faults = Faults()
    health = Health(faults, proofs(faults, True), 0)
    fail(faults, MAX_CONSECUTIVE_ERRORS - 1)
    assert health.doubt is None
    fail(faults, 1)
    assert health.doubt == "failed inferences in a row: 5, the last: Add: shapes don't fit"
    await health.decide()
    assert (health.doubt, health.lost, faults.total) == (None, None, 5)


@pytest.mark.parametrize(
    "sign", ["CL_OUT_OF_RESOURCES", "CL_DEVICE_NOT_AVAILABLE", "ZE_RESULT_ERROR_DEVICE_LOST"]
)
async def test_a_sign_of_a_lost_device_is_a_doubt_at_once(sign: str) -> None:
    faults = Faults()
    health = Health(faults, proofs(faults, True), 0)
    faults.note(f"[GPU] clFlush, error code: {sign}")
    assert health.doubt


async def test_one_failed_proof_is_forgiven() -> None:
    faults = Faults()
    health = Health(faults, proofs(faults, False, True), 0)
    fail(faults)
    await health.decide()
    assert health.doubt is None


async def test_failed_proofs_are_the_end() -> None:
    faults = Faults()
    health = Health(faults, proofs(faults, *[False] * PROOFS), 0)
    fail(faults)
    watch = asyncio.create_task(health.watch())
    with pytest.raises(StartupError, match="broken") as caught:
        await watch
    assert caught.value.reason == FailureReason.DEVICE_LOST
    assert health.lost == str(caught.value)
    assert health.doubt


async def test_a_proof_that_never_ends_has_failed() -> None:
    faults = Faults()
    health = Health(faults, asyncio.Event().wait, 0)
    fail(faults)
    with pytest.raises(StartupError, match="has not ended"):
        await health.decide()


async def test_a_client_whose_inference_works_meanwhile_is_a_proof_too() -> None:
    faults = Faults()

    async def prove() -> bool:
        faults.in_a_row = 0
        return False

    health = Health(faults, prove, 0)
    fail(faults)
    await health.decide()
    assert (health.doubt, health.lost) == (None, None)
