"""The servers that other tests build upon answer, and know who may ask."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from tests.servers_fixture import AzureServer, GcsServer, Registry, S3Server
from tools.servers.autoscalers import keep_trigger
from tools.toolbox.errors import ToolError

if TYPE_CHECKING:
    from obstore.store import ClientConfig  # a type of its stubs alone

PLAIN: "ClientConfig" = {"allow_http": True}


def test_s3(s3_server: S3Server) -> None:
    (s3_server.folder / "smoke").mkdir()
    store = make_s3_store(s3_server, s3_server.secret_access_key)
    store.put("model/1.bin", b"bytes")
    assert store.get("model/1.bin").bytes() == b"bytes"
    with pytest.raises(BaseError, match="403"):
        make_s3_store(s3_server, "another").get("model/1.bin")


def make_s3_store(server: S3Server, secret: str) -> S3Store:
    return S3Store(
        "smoke",
        endpoint=server.endpoint,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=secret,
        virtual_hosted_style_request=False,
        client_options=PLAIN,
    )


def test_gcs(gcs_server: GcsServer) -> None:
    gcs_server.put("smoke", "model/1.bin", b"bytes")
    store = GCSStore("smoke", service_account_key=gcs_server.service_account, client_options=PLAIN)
    assert store.get("model/1.bin").bytes() == b"bytes"


def test_azure(azure_server: AzureServer) -> None:
    store = AzureStore(
        "smoke",
        endpoint=azure_server.endpoint,
        account_name=azure_server.account_name,
        account_key=azure_server.account_key,
        client_options=PLAIN,
    )
    with pytest.raises(FileNotFoundError):
        store.get("model/1.bin")


@pytest.mark.parametrize("fixture", ["oci_registry", "private_oci_registry"])
def test_registry(fixture: str, request: pytest.FixtureRequest) -> None:
    registry: Registry = request.getfixturevalue(fixture)
    anonymous = httpx.get(f"{registry.endpoint}/v2/", trust_env=False)
    assert anonymous.status_code == (401 if registry.username else 200)
    known = httpx.get(
        f"{registry.endpoint}/v2/", auth=(registry.username, registry.password), trust_env=False
    )
    assert known.status_code == 200


def test_prometheus(prometheus_binary: Path) -> None:
    said = subprocess.run([prometheus_binary, "--version"], capture_output=True, text=True, check=True)
    assert "prometheus, version 2" in said.stdout


def test_kedas_switch_keeps_prometheus_and_the_default() -> None:
    def switch(*cases: str) -> str:
        return "\tswitch triggerType {\n" + "".join(f"\tcase {c}:\n\t\treturn {c}\n" for c in cases)

    end = '\tdefault:\n\t\treturn nil, fmt.Errorf("no scaler")\n\t}\n'
    whole = switch('"kafka"', '"prometheus"', '"redis"') + end
    assert keep_trigger(whole) == switch('"prometheus"') + end
    with pytest.raises(ToolError, match="prometheus"):
        keep_trigger(switch('"kafka"') + end)
