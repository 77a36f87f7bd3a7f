"""Servers whose certificate a private authority has signed: trusted with `ca.crt`, named without it."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.runtime.model.fetching import failure
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.model import download as download_module


class NotFound(BaseHTTPRequestHandler):
    """Whoever is answered has trusted the certificate."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Who doesn't trust it hangs up."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate of it for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("pki")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = ["-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca", "-days", "2"]
    rights = ["-addext", "keyUsage=critical,keyCertSign"]
    signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
    for command in (
        ["req", "-x509", *key, *authority, *rights],
        ["req", *key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=127.0.0.1"],
        ["x509", "-req", *signing, "-in", "tls.csr", "-out", "tls.crt", "-extfile", "names", "-days", "2"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def url(pki: Path) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), NotFound)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "tls.crt", pki / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_make_pause", lambda *_: 0.0)


def make_secret(scheme: str, url: str) -> dict[str, str]:
    key = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    account = {"gcs_base_url": url, "disable_oauth": True, "private_key": "", "private_key_id": ""}
    return {
        "https": {},
        "hf": {"HF_ENDPOINT": url},
        "s3": {"AWS_ENDPOINT_URL": url, **key},
        "gs": {"service-account.json": json.dumps({**account, "client_email": ""})},
        "az": {
            "AZURE_STORAGE_ENDPOINT": url,
            "AZURE_STORAGE_ACCOUNT_NAME": "a",
            "AZURE_STORAGE_ACCOUNT_KEY": "YWJj",
        },
    }[scheme]


@pytest.mark.parametrize("scheme", ["https", "hf", "s3", "gs", "az"])
def test_an_authority_of_ones_own_is_trusted_when_it_is_given(
    tmp_path: Path, url: str, pki: Path, scheme: str
) -> None:
    uri = f"{url}/m.onnx" if scheme == "https" else f"{scheme}://models/m.onnx"
    secret = make_secret(scheme, url)
    error = failure(tmp_path, uri, secret)
    assert error.reason == FailureReason.FETCH_FAILED
    assert "ca.crt" in str(error)
    error = failure(tmp_path, uri, {**secret, "ca.crt": (pki / "ca.crt").read_text()})
    assert error.reason == FailureReason.MODEL_NOT_FOUND


@pytest.mark.parametrize("scheme", ["https", "hf", "s3", "gs", "az"])
def test_what_is_no_certificate_is_said(tmp_path: Path, url: str, scheme: str) -> None:
    uri = f"{url}/m.onnx" if scheme == "https" else f"{scheme}://models/m.onnx"
    error = failure(tmp_path, uri, {**make_secret(scheme, url), "ca.crt": "no certificate"})
    assert "ca.crt" in str(error)


def test_a_registry_on_this_machine_that_has_a_certificate(tmp_path: Path, url: str, pki: Path) -> None:
    uri = url.replace("https:", "oci:") + "/team/m:v1"
    error = failure(tmp_path, uri, {"ca.crt": (pki / "ca.crt").read_text()})
    assert error.reason == FailureReason.MODEL_NOT_FOUND
