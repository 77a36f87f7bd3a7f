"""A bucket of each store, on the real servers: how to fill it, and who may read it."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
from obstore.store import AzureStore, S3Store

from tests.servers_fixture import AzureServer, GcsServer, S3Server

if TYPE_CHECKING:
    from obstore.store import ClientConfig

PLAIN: "ClientConfig" = {"allow_http": True}


@dataclass(frozen=True)
class Place:
    """`uri` ends in a slash; keys of the Secret are file names and contents."""

    uri: str
    put: Callable[[str, bytes], object]
    secret: dict[str, str]
    wrong_secret: dict[str, str]
    """Of a stranger. Empty where the server lets everybody in."""
    no_secret: dict[str, str]
    """Says where the server is, and not who is asking."""


def make_s3(server: S3Server, bucket: str, canary: str) -> Place:
    (server.folder / bucket).mkdir()
    store = S3Store(
        bucket,
        endpoint=server.endpoint,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        client_options=PLAIN,
    )
    where = {"AWS_ENDPOINT_URL": server.endpoint, "AWS_REGION": server.region}
    key = {"AWS_ACCESS_KEY_ID": server.access_key_id}
    return Place(
        f"s3://{bucket}/",
        store.put,
        {**where, **key, "AWS_SECRET_ACCESS_KEY": server.secret_access_key},
        {**where, **key, "AWS_SECRET_ACCESS_KEY": canary},
        where,
    )


def make_gs(server: GcsServer, bucket: str, _: str) -> Place:
    def put(key: str, content: bytes) -> None:
        server.put(bucket, key, content)

    put(".keep", b"")  # a bucket comes with its first object
    return Place(
        f"gs://{bucket}/",
        put,
        {"service-account.json": server.service_account},
        {},
        {"GOOGLE_BASE_URL": server.endpoint},
    )


def make_az(server: AzureServer, bucket: str, canary: str) -> Place:
    signature = sign_account(server)
    made = httpx.put(f"{server.endpoint}/{bucket}?restype=container&{signature}", trust_env=False)
    assert made.status_code == 201, made.text
    store = AzureStore(
        bucket,
        endpoint=server.endpoint,
        account_name=server.account_name,
        account_key=server.account_key,
        client_options=PLAIN,
    )
    where = {"AZURE_STORAGE_ENDPOINT": server.endpoint, "AZURE_STORAGE_ACCOUNT_NAME": server.account_name}
    wrong = base64.b64encode(canary.encode()).decode()
    return Place(
        f"az://{bucket}/",
        store.put,
        {**where, "AZURE_STORAGE_ACCOUNT_KEY": server.account_key},
        {**where, "AZURE_STORAGE_ACCOUNT_KEY": wrong},
        where,
    )


def sign_account(server: AzureServer, permissions: str = "rwlc") -> str:
    """An account SAS, as the documentation of Azure Storage makes it, good for an hour."""
    version, end = "2021-12-02", (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [server.account_name, permissions, "b", "sco", "", end, "", "https,http", version, "", ""]
    key = base64.b64decode(server.account_key)
    signature = base64.b64encode(hmac.digest(key, "\n".join(lines).encode(), hashlib.sha256)).decode()
    fields = {"sv": version, "ss": "b", "srt": "sco", "sp": permissions, "se": end, "spr": "https,http"}
    return urlencode({**fields, "sig": signature})
