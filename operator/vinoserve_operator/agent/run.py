"""The agent's loop: look at the hardware, label the node where that says something else."""

import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from vinoserve_operator.agent.labels import make_labels
from vinoserve_operator.agent.node import NodeError
from vinoserve_operator.agent.scan import Hardware

_RECHECK: Final = 20
"""Scans between two looks at the node: somebody may have taken a label away."""

log = structlog.get_logger()


class Labels(Protocol):
    def read(self) -> dict[str, str]: ...

    def write(self, labels: Mapping[str, str]) -> dict[str, str]: ...


@dataclass
class Agent:
    """`step` once in a while; it asks the API server only when the hardware has changed, and now and then."""

    scan: Callable[[], Hardware]
    node: Labels
    _hardware: Hardware | None = None
    _until_recheck: int = 0
    _given_up: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    """What was wanted and what there was all the same: labels of somebody else's that the agent can't take away."""

    def step(self) -> None:
        """Raises NodeError; the next step tries again."""
        hardware = self.scan()
        self._until_recheck -= 1
        if hardware == self._hardware and self._until_recheck > 0:
            return
        if hardware != self._hardware:
            log.info("found", gpus=[_show(d) for d in hardware.gpus], npus=[_show(d) for d in hardware.npus])
        self._hardware, self._until_recheck = hardware, 0
        wanted, present = make_labels(hardware), self.node.read()
        if present != wanted and (wanted, present) not in self._given_up:
            after = self.node.write(wanted)
            log.info("labelled the node", labels=wanted)
            if after != wanted:
                kept = sorted(after.keys() - wanted.keys())
                log.warning("labels that this agent didn't write stay; remove them by hand", labels=kept)
                self._given_up = [(wanted, after)]
        self._until_recheck = _RECHECK


def run(agent: Agent, interval_seconds: float) -> None:
    """Until SIGTERM or SIGINT. The labels stay: a new agent of a rollout finds them as they are."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        try:
            agent.step()
        except NodeError as error:
            log.warning("cannot label the node", error=str(error))
        stop.wait(interval_seconds)


def _show(device: object) -> dict[str, object]:
    return {name: value for name, value in vars(device).items() if value is not None}
