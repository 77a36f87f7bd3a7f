"""One writer at a time: the official client's leader election, and a check of the Lease's age at every write.

The library tells when leading starts and ends, by a task; a process that was stopped for a minute would go on with the
write it was about to make. So what counts here is the age of the last renewal, by a clock that runs on meanwhile, and
it is looked at right before each write.
"""

import asyncio
import contextlib
import logging
import socket
import time
import uuid
from collections.abc import Callable
from typing import Final

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, V1Lease, V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

LEASE_SECONDS: Final = 15
RENEW_DEADLINE_SECONDS: Final = 10
"""Older than this, nothing is written: less than a Lease's length by more than a write may take."""

RETRY_SECONDS: Final = 2

# Every renewal that meets a busy API server is logged there with a traceback; what matters is `Lease.held`.
logging.getLogger("kubernetes.aio.leaderelection").setLevel(logging.CRITICAL)


class _Lock(LeaseLock):
    """The library's, which in 37.0 asks for `pretty=True` when it makes a Lease, and its own client refuses that."""

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        lease = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        try:
            await self.api_instance.create_namespaced_lease(namespace, lease)
        except ApiException:
            return False
        return True

    async def release(self) -> None:
        """Let the next one have it at once, where it is still ours."""
        await self.get(self.name, self.namespace)
        lease = self.lease_reference
        if lease and lease.spec and lease.spec.holder_identity == self.identity:
            lease.spec.holder_identity = ""
            await self.api_instance.replace_namespaced_lease(self.name, self.namespace, lease)


async def _nothing() -> None:
    """The library calls back; `Lease.held` is asked instead."""


class Lease:
    """A coordination.k8s.io Lease that this process tries to hold."""

    def __init__(
        self,
        client: ApiClient,
        name: str,
        namespace: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._clock = clock
        self._renewed: float | None = None
        self._acquired = asyncio.Event()
        self._lock = _Lock(name, namespace, self.identity, client)
        self._election = LeaderElection(
            Config(
                self._lock,
                lease_duration=LEASE_SECONDS,
                renew_deadline=RENEW_DEADLINE_SECONDS,
                retry_period=RETRY_SECONDS,
                onstarted_leading=_nothing,
                onstopped_leading=_nothing,
            )
        )

    @property
    def held(self) -> bool:
        """Whether a write that starts now ends while the Lease is certainly ours."""
        return self._renewed is not None and self._clock() - self._renewed < RENEW_DEADLINE_SECONDS

    async def wait(self) -> None:
        """Until the Lease is held for the first time."""
        await self._acquired.wait()

    async def run(self) -> None:
        """Acquire and renew until cancelled; then let go."""
        try:
            await self._renew()
        finally:
            held, self._renewed = self.held, None
            if held:
                with contextlib.suppress(ApiException, aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS):
                        await self._lock.release()

    async def _renew(self) -> None:
        while True:
            started = self._clock()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(RENEW_DEADLINE_SECONDS):
                    if await self._election.try_acquire_or_renew():
                        self._renewed = started
                        self._acquired.set()
            await asyncio.sleep(RETRY_SECONDS)
