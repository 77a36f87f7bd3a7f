import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tools.demo import local
from tools.demo.flow import read_metadata
from tools.demo.infer import ask
from tools.demo.ocr import decode, draw_line, read_alphabet
from tools.models import fetch_model
from tools.toolbox.errors import ToolError


def test_an_emulated_gpu_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.platform, "system", lambda: "Darwin")
    with (
        pytest.raises(ToolError, match="Linux on x86_64 alone"),
        local.serving(Path("model.onnx"), "0" * 64, "GPU"),
    ):
        pass


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"], stdout=out
        )
    (port,) = local.find_ports(1)
    with server, pytest.raises(ToolError, match=r"ended \(3\):\nno such model"):
        local.wait_ready(server, port, log)


def test_the_same_service_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fetch_model("ppocr-rec")
    alphabet = read_alphabet(read_metadata(model, "character"))
    monkeypatch.setenv("VINOSERVE_CACHE", str(tmp_path))
    (tmp_path / "demo").mkdir()
    with local.serving(model, hashlib.sha256(model.read_bytes()).hexdigest(), "CPU") as url:
        reading = decode(ask(url, draw_line("Served on this machine", alphabet)), alphabet)
    assert reading.text == "Served on this machine"
