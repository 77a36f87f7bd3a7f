"""A whole runtime as a process: ready means ready, failures have a reason, SIGTERM loses nothing."""

import concurrent.futures
import hashlib
import signal
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.models import write_adder, write_classifier, write_inverse, write_multiplier, write_sum
from tests.runtime.configs import make_config
from tests.runtime.lifecycle.process import Runtime, running
from tests.runtime.model.file_server import FileServer, serving
from vinoserve_runtime import commands


def test_from_a_file_to_an_answer_and_back(tmp_path: Path, ports: tuple[int, int]) -> None:
    path = write_adder(tmp_path / "m.onnx")
    with running(make_config(path), tmp_path, ports=ports) as runtime:
        runtime.until_ready()
        answer = runtime.infer(x=((1, 4), [1, 2, 3, -4])).json()
        assert answer["outputs"][0]["data"] == [2, 3, 4, 0]
        assert [runtime.get(path).status_code for path in ("/livez", "/readyz", "/startupz", "/metrics")] == [
            200
        ] * 4
        report = runtime.report()
        assert report.phase == "Ready"
        assert report.execution_devices == ("CPU",)
        assert report.on_requested_device
        assert report.model is not None
        assert report.model.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        assert [(t.name, t.datatype, t.shape) for t in report.model.inputs] == [("x", "FP32", (1, 4))]
        ledger = report.startup
        assert None not in (
            ledger.fetch_seconds,
            ledger.read_seconds,
            ledger.compile_seconds,
            ledger.warmup_seconds,
        )
        assert ledger.cache_hit is False
        assert runtime.terminate() == 0
        assert "model is ready on CPU: http://127.0.0.1:" in runtime.process.stdout.read()  # type: ignore[union-attr]


def test_the_second_start_comes_from_the_cache(tmp_path: Path, ports: tuple[int, int]) -> None:
    config = make_config(write_classifier(tmp_path / "m.xml"))
    for hit in (False, True):
        with running(config, tmp_path, ports=ports) as runtime:
            assert runtime.until_ready().report().startup.cache_hit is hit
            assert runtime.terminate() == 0


def corrupt(folder: Path) -> dict[str, Any]:
    path = folder / "m.onnx"
    path.write_bytes(b"\x08\x09not a model")
    return {"path": path}


def pack(folder: Path) -> Path:
    path = folder / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(write_adder(folder / "m.onnx"), "m.onnx")
    return path


Failing = Callable[[Path], dict[str, Any]]

FAILURES: dict[str, tuple[Failing, list[str]]] = {
    "ModelNotFound": (lambda folder: {"path": folder / "nowhere.onnx"}, ["nowhere.onnx"]),
    "DigestMismatch": (
        lambda folder: {"path": write_adder(folder / "m.onnx"), "digest": "sha256:" + "0" * 64},
        ["spec.model.digest", "0" * 64],
    ),
    "ModelInvalid": (corrupt, ["m.onnx"]),
    "InvalidInput": (
        lambda folder: {"path": write_adder(folder / "m.onnx"), "inputs": [{"name": "data"}]},
        ["'data'", "'x'"],
    ),
    "InvalidShape": (
        lambda folder: {
            "path": write_multiplier(folder / "m.xml", np.ones((4, 4))),
            "inputs": [{"name": "x", "shape": [1, 5]}],
        },
        ["spec.model.inputs[0].shape", "[1, 4]"],
    ),
    "DiskFull": (
        lambda folder: {"path": pack(folder), "modelSizeLimit": 1},
        ["m.zip", "spec.cache.model.sizeLimit is 1 bytes: write 1Mi"],
    ),
    "DeviceNotFound": (
        lambda folder: {"path": write_adder(folder / "m.onnx"), "targetDevice": "NPU", "onFallback": "Fail"},
        ["NPU", "/dev/accel"],
    ),
    "InvalidProperty": (
        lambda folder: {"path": write_adder(folder / "m.onnx"), "uncheckedProperties": {"CPU": {"NEW": "1"}}},
        ["spec.uncheckedProperties.CPU.NEW: "],
    ),
}


def test_a_pod_serves_what_its_init_container_fetched(tmp_path: Path, ports: tuple[int, int]) -> None:
    config = make_config(write_adder(tmp_path / "m.onnx"))
    commands.fetch(
        config,
        model_dir=tmp_path / "models",
        claim_dir=tmp_path / "claim",
        credentials_dir=tmp_path / "credentials",
    )
    with running(config, tmp_path, ports=ports, fetch=False) as runtime:
        assert runtime.until_ready().infer(x=((1, 4), [1, 2, 3, -4])).status_code == 200
        assert runtime.terminate() == 0


def test_a_model_too_large_for_its_volume_ends_the_init_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {"claim_dir": tmp_path / "claim", "credentials_dir": tmp_path / "credentials"}
    config = make_config(pack(tmp_path), modelSizeLimit=1)
    assert commands.fetch(config, model_dir=tmp_path / "models", **folders) == 1
    assert "spec.cache.model.sizeLimit" in capsys.readouterr().err


@pytest.mark.parametrize("reason", FAILURES)
def test_a_failure_is_one_line_with_a_stable_reason(
    tmp_path: Path, ports: tuple[int, int], reason: str
) -> None:
    make, words = FAILURES[reason]
    fields = make(tmp_path)
    with running(make_config(fields.pop("path"), **fields), tmp_path, ports=ports) as runtime:
        code, log = runtime.ended()
    assert code == 1
    (error,) = [line for line in log if line["level"] == "error"]
    assert error["reason"] == reason, error
    for word in words:
        assert word in error["event"]
    assert "\n" not in error["event"]


def test_a_taken_port_is_named(tmp_path: Path, ports: tuple[int, int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running(
            make_config(write_adder(tmp_path / "m.onnx")), tmp_path, ports=(port, ports[1])
        ) as runtime:
            code, log = runtime.ended()
    assert code == 1
    assert log[-1]["reason"] == "PortInUse"
    assert str(port) in log[-1]["event"]


def test_without_an_init_container_there_is_nothing_to_serve(tmp_path: Path, ports: tuple[int, int]) -> None:
    config = make_config(write_adder(tmp_path / "m.onnx"))
    with running(config, tmp_path, ports=ports, fetch=False) as runtime:
        code, log = runtime.ended()
    assert code == 1
    assert log[-1]["reason"] == "ModelNotFound"


@pytest.mark.parametrize(("policy", "warnings"), [("Warn", 1), ("Allow", 0)])
def test_auto_without_a_gpu_is_ready_but_not_on_the_requested_device(
    tmp_path: Path, ports: tuple[int, int], policy: str, warnings: int
) -> None:
    config = make_config(write_adder(tmp_path / "m.onnx"), targetDevice="AUTO:GPU,CPU", onFallback=policy)
    with running(config, tmp_path, ports=ports) as runtime:
        report = runtime.until_ready().report()
        assert report.execution_devices == ("CPU",)
        assert report.on_requested_device is False
        assert len(report.warnings) == warnings
        assert runtime.terminate() == 0


def test_requests_in_flight_are_answered_after_sigterm(tmp_path: Path, ports: tuple[int, int]) -> None:
    size = 3000
    config = make_config(write_multiplier(tmp_path / "m.xml", np.ones((size, size))))
    with running(config, tmp_path, ports=ports) as runtime:
        runtime.until_ready()
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            asked = [clients.submit(runtime.infer, x=((1, size), [1.0] * size)) for _ in range(8)]
            asked[0].result()
            runtime.process.send_signal(signal.SIGTERM)
            answers = []
            for future in asked:
                try:
                    answers.append(future.result().status_code)
                except httpx.ConnectError:
                    answers.append(503)  # came after the door was closed
        assert set(answers) <= {200, 503}
        assert runtime.process.wait(25) == 0


def test_sigterm_while_compiling_is_obeyed_at_once(tmp_path: Path, ports: tuple[int, int]) -> None:
    hang = "import time, vinoserve_runtime.loader as l; l.compile_model = lambda *_: time.sleep(3600)"
    with running(make_config(write_adder(tmp_path / "m.onnx")), tmp_path, ports=ports, patch=hang) as runtime:
        runtime.until_phase("Compiling")
        assert runtime.get("/livez").status_code == 200
        assert [runtime.get(path).status_code for path in ("/readyz", "/startupz")] == [503, 503]
        assert httpx.get(f"{runtime.rest}/v2/health/ready").status_code == 503
        assert runtime.terminate() == 0


def test_a_download_shows_how_far_it_is(tmp_path: Path, ports: tuple[int, int]) -> None:
    content = write_adder(tmp_path / "source.onnx").read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    stay = "import time, vinoserve_runtime.model.fetch as f; f.unpack = f.find_model = lambda *_: time.sleep(3600)"
    with serving(FileServer(content)) as server:
        config = make_config(f"{server.url}/m.onnx", digest=digest)
        with running(config, tmp_path, ports=ports, patch=stay) as runtime:
            runtime.until(
                lambda report: report.progress is not None and report.progress.bytes_done == len(content)
            )
            assert runtime.report().phase == "Fetching"
            assert runtime.terminate() == 0


def test_failing_inferences_of_clients_do_not_end_the_pod(tmp_path: Path, ports: tuple[int, int]) -> None:
    with running(make_config(write_sum(tmp_path / "m.xml")), tmp_path, ports=ports) as runtime:
        runtime.until_ready()
        for _ in range(12):
            assert runtime.infer(a=((3,), [1, 2, 3]), b=((4,), [1, 2, 3, 4])).status_code == 500
        assert runtime.report().engine_errors == 12
        assert runtime.infer(a=((1,), [1]), b=((1,), [2])).json()["outputs"][0]["data"] == [3]
        assert runtime.get("/livez").status_code == 200
        assert runtime.terminate() == 0


def test_logs_are_json_and_without_a_signed_urls_query(tmp_path: Path, ports: tuple[int, int]) -> None:
    config = make_config("http://127.0.0.1:1/m.onnx?signature=canary", digest="sha256:" + "0" * 64)
    with running(config, tmp_path, ports=ports) as runtime:
        runtime.until_phase("Fetching")
        runtime.process.send_signal(signal.SIGTERM)
        code, log = runtime.ended()
    assert code == 0
    assert log
    assert "canary" not in str(log)


def test_inverse_runs_on_the_cpu(tmp_path: Path, ports: tuple[int, int]) -> None:
    with running(make_config(write_inverse(tmp_path / "m.xml")), tmp_path, ports=ports) as runtime:
        serve_identity(runtime)


def serve_identity(runtime: Runtime) -> None:
    eye = np.eye(4, dtype=np.float32).ravel().tolist()
    answer = runtime.until_ready().infer(x=((1, 4, 4), eye)).json()
    np.testing.assert_allclose(answer["outputs"][0]["data"], np.array(eye) / 2, atol=1e-3)
