"""Paths and methods: health, metadata, and what isn't there."""

import pytest

from tests.runtime.rest.serving import FakeEngine, Running, make_adder, serving, tensor


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2?x=1"])
def test_server_metadata(adder: Running, path: str) -> None:
    answer = adder.get(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["name"] == "vinoserve"
    assert answer.json["extensions"] == ["binary_tensor_data", "model_repository"]
    assert answer.json["version"]


def test_health(adder: Running) -> None:
    assert adder.get("/v2/health/live").json == {"live": True}
    assert adder.get("/v2/health/ready").json == {"ready": True}
    assert adder.get("/v2/models/m/ready").json == {"name": "m", "ready": True}
    assert adder.get("/v2/models/m/versions/1/ready").json == {"name": "m", "ready": True}


@pytest.mark.parametrize(
    "path", ["/v2/models/m", "/v2/models/m/versions/1", "/v2/models/%6D", "/v2/models/m?verbose"]
)
def test_model_metadata(adder: Running, path: str) -> None:
    assert adder.get(path).json == {
        "name": "m",
        "versions": ["1"],
        "platform": "openvino",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4]}],
    }


def test_open_sizes_are_minus_one() -> None:
    engine = FakeEngine([tensor("x", "UINT8", (1, 10), -1, 3)], [tensor("y", "BYTES", -1)], list)
    with serving(engine) as server:
        assert server.get("/v2/models/m").json["inputs"] == [
            {"name": "x", "datatype": "UINT8", "shape": [-1, -1, 3]}
        ]


def test_before_the_model_is_there() -> None:
    with serving(None) as server:
        assert server.get("/v2/health/live").json == {"live": True}
        assert server.get("/v2").status == 200
        for path in ("/v2/health/ready", "/v2/models/m/ready"):
            answer = server.get(path)
            assert answer.status == 503
            assert answer.json["ready"] is False
            assert int(answer.headers["retry-after"]) > 0
        for answer in (server.get("/v2/models/m"), server.infer({"inputs": []})):
            assert answer.status == 503
            assert answer.error == 'model "m" is not loaded'
            assert int(answer.headers["retry-after"]) > 0
        assert server.get("/v2/models/other").status == 404


def test_attach_and_detach() -> None:
    with serving(None) as server:
        server.call(lambda: server.dataplane.attach(make_adder()))
        assert server.get("/v2/health/ready").status == 200
        server.call(server.dataplane.detach)
        assert server.get("/v2/health/ready").status == 503
        assert server.get("/v2/health/live").status == 200


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/", "no such path"),
        ("/v1", "no such path"),
        ("/v2/health", "no such path"),
        ("/v2/health/", "no such path"),
        ("/v2/health/live/", "no such path"),
        ("/v2/health/started", "no such path"),
        ("/V2/health/live", "no such path"),
        ("//v2", "no such path"),
        ("/v2//health/live", "no such path"),
        ("/v2/models", "no such path"),
        ("/v2/models/", 'no model ""'),
        ("/v2/models/other", 'no model "other" here; this server has "m"'),
        ("/v2/models/M", 'no model "M"'),
        ("/v2/models/m/", "no such path below the model"),
        ("/v2/models/m/versions", "no such path below the model"),
        ("/v2/models/m/versions/", 'model "m" has no version ""'),
        ("/v2/models/m/versions/2", 'model "m" has no version "2"; it has "1"'),
        ("/v2/models/m/versions/01", 'has no version "01"'),
        ("/v2/models/m/versions/1/", "no such path below the model"),
        ("/v2/models/m/config", "no such path below the model"),
        ("/v2/models/m/stats", "no such path below the model"),
        ("/v2/models/m/ready/now", "no such path below the model"),
        ("/v2/models/..%2Fm", 'no model "../m"'),
        ("/v2/models/m%00", "no model"),
        ("/v2/models/m%20", 'no model "m "'),
        ("/v2/models/" + "x" * 5000, "no model"),
        ("/v2/repository/models", "no such path"),
        ("/metrics", "no such path"),
    ],
)
def test_unknown_paths(adder: Running, path: str, message: str) -> None:
    for method in ("GET", "POST"):
        answer = adder.request(method, path)
        assert answer.status == 404
        assert message in answer.error
        assert len(answer.error) < 500


@pytest.mark.parametrize(
    "path", ["/v2/models/other/infer", "/v2/models/m/versions/2/infer", "/v2/models/m/infer/x"]
)
def test_inference_of_unknown_models(adder: Running, path: str) -> None:
    assert adder.infer({"inputs": []}, path=path).status == 404


def test_inference_of_a_version(adder: Running) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    assert adder.infer(body, path="/v2/models/m/versions/1/infer").json["model_version"] == "1"
    assert adder.infer(body, path="/v2/models/m/infer?trace=1").status == 200


@pytest.mark.parametrize("path", ["/v2/models/%zz", "/v2/models/%", "/v2/models/%4", "/v2/models/%FF"])
def test_malformed_escapes(adder: Running, path: str) -> None:
    assert adder.get(path).status == 400


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a b", "/v2/models/a%20b"),
        ("a/b", "/v2/models/a%2Fb"),
        ("a+b", "/v2/models/a+b"),
        ("Größe", "/v2/models/Gr%C3%B6%C3%9Fe"),
        ("versions", "/v2/models/versions"),
        ("100%", "/v2/models/100%25"),
        ("%41", "/v2/models/%2541"),
    ],
)
def test_names_are_decoded_once(name: str, path: str) -> None:
    with serving(make_adder(), name=name) as server:
        assert server.get(path).json["name"] == name
        assert server.get(path + "/versions/1/ready").json["ready"] is True


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m", "/v2/models/m/ready"]
)
def test_methods_of_what_can_only_be_read(adder: Running, method: str, path: str) -> None:
    answer = adder.request(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert method in answer.error


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_methods_of_inference(adder: Running, method: str) -> None:
    answer = adder.request(method, "/v2/models/m/infer")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/m", "/v2/models/m/ready"])
def test_head_is_get_without_the_body(adder: Running, path: str) -> None:
    head, got = adder.request("HEAD", path), adder.get(path)
    assert head.status == 200
    assert head.body == b""
    assert head.headers["content-length"] == str(len(got.body))


def test_head_of_what_is_not_there(adder: Running) -> None:
    assert adder.request("HEAD", "/v2/models/other").status == 404
    assert adder.request("HEAD", "/v2/models/m/infer").status == 405


def test_many_targets_are_not_remembered_for_ever(adder: Running) -> None:
    for index in range(300):
        assert adder.get(f"/v2/models/m?{index}").status == 200
