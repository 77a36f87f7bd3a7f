"""The model repository extension over REST, by hand; see test_clients for Triton's client."""

import pytest

from tests.runtime.rest.serving import Running, make_adder, serving

INDEX = "/v2/repository/index"
READY = {"name": "m", "version": "1", "state": "READY", "reason": ""}


def test_the_index() -> None:
    with serving(None) as server:
        not_loaded = {**READY, "state": "UNAVAILABLE", "reason": "the model is not loaded"}
        assert server.request("POST", INDEX).json == [not_loaded]
        assert server.request("POST", INDEX, {"ready": False}).json == [not_loaded]
        assert server.request("POST", INDEX, {"ready": True}).json == []
        server.call(lambda: server.dataplane.attach(make_adder()))
        for body in (None, {}, {"ready": False}, {"ready": True}):
            assert server.request("POST", INDEX, body).json == [READY]


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"{", "malformed JSON"), ({"ready": 1}, "ready must be true or false"), ([], "must be a JSON object")],
)
def test_a_wrong_filter(adder: Running, body: object, message: str) -> None:
    answer = adder.request("POST", INDEX, body)
    assert answer.status == 400
    assert message in answer.error


@pytest.mark.parametrize("change", ["load", "unload"])
@pytest.mark.parametrize("name", ["m", "other"])
def test_models_are_not_loaded_or_unloaded(adder: Running, change: str, name: str) -> None:
    answer = adder.request("POST", f"/v2/repository/models/{name}/{change}", b"{}")
    assert answer.status == 409
    assert "change spec.model of its InferenceService" in answer.error
    assert adder.get("/v2/models/m/ready").status == 200
