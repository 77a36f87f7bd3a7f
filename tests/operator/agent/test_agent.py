"""The node agent's loop, and what it says to the API server."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.model.loopback import answering
from vinoserve_operator.agent.commands import run_agent
from vinoserve_operator.agent.node import NodeError, NodeLabels
from vinoserve_operator.agent.run import Agent
from vinoserve_operator.agent.scan import Accelerator, Hardware

GPU = Accelerator("dri/renderD128", "0000:03:00.0", "56c0", "xe", "Flex 170", 992, 16 * 2**30)
ONE, TWO = Hardware((GPU,)), Hardware((GPU, GPU))
COUNT = "vinoserve.dev/gpu.count"


@dataclass
class Node:
    """`kept`: labels that somebody else owns."""

    labels: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    writes: list[dict[str, str]] = field(default_factory=list)

    def read(self) -> dict[str, str]:
        self.reads += 1
        return self.labels | self.kept

    def write(self, labels: Mapping[str, str]) -> dict[str, str]:
        self.labels = dict(labels)
        self.writes.append(self.labels)
        return self.labels | self.kept


def make_agent(node: Node, hardware: list[Hardware]) -> Agent:
    """The hardware at each scan; the last one stays."""
    return Agent(lambda: hardware.pop(0) if len(hardware) > 1 else hardware[0], node)


def step(agent: Agent, times: int) -> None:
    for _ in range(times):
        agent.step()


def test_it_writes_once_and_asks_seldom() -> None:
    node = Node()
    step(make_agent(node, [ONE]), 41)
    assert [labels[COUNT] for labels in node.writes] == ["1"]
    assert node.reads == 3


def test_it_writes_when_the_hardware_changes_at_once() -> None:
    node = Node()
    step(make_agent(node, [ONE, ONE, TWO, Hardware()]), 4)
    assert [labels.get(COUNT) for labels in node.writes] == ["1", "2", None]
    assert node.labels == {}


def test_a_new_agent_on_a_labelled_node_writes_nothing() -> None:
    node = Node()
    step(make_agent(node, [ONE]), 1)
    step(make_agent(node, [ONE]), 1)
    assert len(node.writes) == 1


def test_labels_that_somebody_took_away_come_back() -> None:
    node = Node()
    agent = make_agent(node, [ONE])
    step(agent, 1)
    node.labels = {}
    step(agent, 20)
    assert node.labels[COUNT] == "1"


def test_labels_of_somebody_else_are_tried_once() -> None:
    node = Node(kept={"vinoserve.dev/render-gid": "44"})
    step(make_agent(node, [Hardware()]), 61)
    assert node.writes == [{}]


def test_after_a_failure_it_tries_again_at_the_next_step() -> None:
    node = Node()
    agent = make_agent(node, [ONE])
    failing = agent.node = Failing()
    for _ in range(3):
        with pytest.raises(NodeError):
            agent.step()
    assert failing.reads == 3
    agent.node = node
    agent.step()
    assert node.labels[COUNT] == "1"


class Failing(Node):
    def read(self) -> dict[str, str]:
        self.reads += 1
        raise NodeError("away")


class Server(BaseHTTPRequestHandler):
    """One node of an API server; `answer` is the status that it gives."""

    answer = 200
    asked: list[tuple[str, str, dict[str, str], Any]]

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).asked.append((self.command, self.path, dict(self.headers), json.loads(body or b"null")))
        labels = {"kubernetes.io/os": "linux", COUNT: "1"}
        found = {"metadata": {"labels": labels}} if self.answer == 200 else {"message": "not yours"}
        data = json.dumps(found).encode()
        self.send_response(self.answer)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = _do  # noqa: N815  # as http.server calls them

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    Server.asked, Server.answer = [], 200
    with answering(Server) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def node(server: str, tmp_path: Path) -> NodeLabels:
    (tmp_path / "token").write_text("first\n")
    return NodeLabels("node-1.example.com", server, tmp_path)


def test_it_applies_its_labels_under_its_own_name(node: NodeLabels) -> None:
    assert node.write({COUNT: "1"}) == {COUNT: "1"}
    method, path, headers, body = Server.asked[0]
    assert (method, path) == (
        "PATCH",
        "/api/v1/nodes/node-1.example.com?fieldManager=vinoserve-agent&force=true",
    )
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert body["metadata"] == {"name": "node-1.example.com", "labels": {COUNT: "1"}}


def test_a_renewed_token_is_used(node: NodeLabels, tmp_path: Path) -> None:
    assert node.read() == {COUNT: "1"}, "labels of others are none of its business"
    (tmp_path / "token").write_text("second\n")
    node.read()
    assert [headers["Authorization"] for _, _, headers, _ in Server.asked] == [
        "Bearer first",
        "Bearer second",
    ]


def test_a_refusal_says_whose(node: NodeLabels) -> None:
    Server.answer = 403
    with pytest.raises(NodeError, match=r"PATCH node node-1.example.com: 403 not yours"):
        node.write({})


def test_an_api_server_that_is_away_is_an_error_to_try_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    with pytest.raises(NodeError, match="refused"):
        NodeLabels("n", "http://127.0.0.1:1", tmp_path).read()
    (tmp_path / "token").unlink()
    with pytest.raises(NodeError, match="token"):
        NodeLabels("n", "http://127.0.0.1:1", tmp_path).read()


def test_outside_of_a_pod_it_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert run_agent("n", Path("/dev"), Path("/sys"), 1) == 2
    assert "--print" in capsys.readouterr().err
