from collections.abc import Iterator
from typing import Any

import pytest

from tools.demo import waiting
from tools.toolbox.errors import ToolError


def make_service(*conditions: tuple[str, str, str], generation: int = 2, observed: int = 2) -> dict[str, Any]:
    """An InferenceService with conditions (type, status, reason)."""
    return {
        "metadata": {"generation": generation},
        "status": {
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": "so it is",
                    "observedGeneration": observed,
                }
                for kind, status, reason in conditions
            ]
        },
    }


class Cluster:
    """Shows one state after the other, and the last for ever."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)

    def get(self, *_: str) -> dict[str, Any]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waiting takes no time here."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return


BUSY = make_service(("Ready", "False", "Compiling"))
DONE = make_service(("Ready", "True", "Ready"))


def test_each_change_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        waiting.wait_ready(Cluster({"metadata": {"generation": 2}}, BUSY, BUSY, DONE), "ns", "ppocr", 60)
        is DONE
    )
    said = [line.split(maxsplit=2)[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["the operator has not looked at it yet", "Compiling: so it is", "Ready: so it is"]


def test_ready_of_an_older_generation_is_not_ready() -> None:
    stale = make_service(("Ready", "True", "Ready"), generation=3)
    with pytest.raises(ToolError, match="not Ready after 5 s"):
        waiting.wait_ready(Cluster(stale), "ns", "ppocr", 5)


def test_a_service_that_stays_stalled_is_not_waited_for() -> None:
    stalled = make_service(("Ready", "False", "DigestMismatch"), ("Stalled", "True", "DigestMismatch"))
    with pytest.raises(ToolError, match="will not become Ready: DigestMismatch: so it is"):
        waiting.wait_ready(Cluster(stalled), "ns", "ppocr", 60)


def test_a_service_that_stalls_for_a_moment_is_waited_for() -> None:
    stalled = make_service(("Ready", "False", "Unschedulable"), ("Stalled", "True", "Unschedulable"))
    assert waiting.wait_ready(Cluster(stalled, stalled, BUSY, DONE), "ns", "ppocr", 60) is DONE


def test_a_deleted_service_is_not_waited_for() -> None:
    with pytest.raises(ToolError, match="is gone"):
        waiting.wait_ready(Cluster({}), "ns", "ppocr", 60)
