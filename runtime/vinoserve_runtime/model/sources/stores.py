"""How obstore is told to open a bucket: by the Secret's keys, by the environment, or as nobody.

An identity comes from one place whole: a Secret's key is never mixed with a session token of the environment.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.access import Access, check_endpoint

SERVICE_ACCOUNT: Final = "service-account.json"

_S3_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GS_VARIABLES: Final = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
)
_AZ_VARIABLES: Final = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_CLIENT_SECRET",
)


@dataclass(frozen=True)
class Opening:
    """A store's constructor arguments. `is_nobody`: neither the Secret nor the environment has an identity."""

    make: Callable[..., Any]
    bucket: str
    config: dict[str, Any]
    endpoint: str | None
    is_nobody: bool
    hint: str
    provider: Callable[[], Any] | None = None

    @property
    def may_be_cloud(self) -> bool:
        """Whether the machine's identity may be tried. It is for the cloud's own stores: an endpoint could keep its token."""
        return self.is_nobody and self.endpoint is None

    def open(self, ca: str | None, *, as_cloud: bool = False) -> Any:
        """`as_cloud`: as whoever the metadata service of the machine says that we are."""
        config = dict(self.config)
        if self.is_nobody and not as_cloud:
            config["skip_signature"] = True
        options: dict[str, Any] = {
            "allow_http": bool(self.endpoint and self.endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=3 if as_cloud else 10),
            "read_timeout": timedelta(seconds=30),
            "timeout": timedelta(minutes=10),
        }
        if ca is not None:
            options["root_certificate"] = ca
        extra = {"credential_provider": self.provider} if self.provider else {}
        try:
            # retries are ours: one place that waits, and knows what has arrived meanwhile
            return self.make(
                self.bucket, config=config, client_options=options, retry_config={"max_retries": 0}, **extra
            )
        except Exception as error:  # noqa: BLE001  # ValueError, or one of the library's
            # its text may quote what it was given
            raise StartupError(
                FailureReason.ACCESS_DENIED,
                f"the credentials can't be used ({type(error).__name__}): {self.hint}",
            ) from None


def plan_s3(bucket: str, access: Access) -> Opening:
    from obstore.store import S3Store  # noqa: PLC0415

    endpoint = check_endpoint(
        "AWS_ENDPOINT_URL",
        access.secret("AWS_ENDPOINT_URL")
        or access.variable("AWS_ENDPOINT_URL_S3")
        or access.variable("AWS_ENDPOINT_URL"),
    )
    key, secret = access.secret("AWS_ACCESS_KEY_ID"), access.secret("AWS_SECRET_ACCESS_KEY")
    token = access.secret("AWS_SESSION_TOKEN")
    hint = (
        "spec.model.credentials takes the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (where one "
        "belongs to them), AWS_REGION, and AWS_ENDPOINT_URL for other stores than Amazon's"
    )
    if (key is None) != (secret is None):
        raise StartupError(FailureReason.ACCESS_DENIED, f"half of the credentials is missing: {hint}")
    config: dict[str, Any] = {
        "region": access.get("AWS_REGION") or access.variable("AWS_DEFAULT_REGION") or "us-east-1"
    }
    if endpoint:
        config["endpoint"] = config["aws_endpoint_url_s3"] = endpoint
    provider = None
    if key is not None:
        identity = {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}
        provider = lambda: identity  # noqa: E731
    is_nobody = provider is None and not any(access.variable(name) for name in _S3_VARIABLES)
    return Opening(S3Store, bucket, config, endpoint, is_nobody, hint, provider)


def plan_gs(bucket: str, access: Access) -> Opening:
    from obstore.store import GCSStore  # noqa: PLC0415

    hint = f"spec.model.credentials takes the key {SERVICE_ACCOUNT}, a service account's key file as Google gives it"
    config: dict[str, Any] = {}
    account = access.document(SERVICE_ACCOUNT)
    known = {} if account is None else _read_service_account(account, hint)
    if account is not None:
        config["service_account_key"] = account
    endpoint = check_endpoint(
        "GOOGLE_BASE_URL", access.get("GOOGLE_BASE_URL") or known.get("gcs_base_url") or None
    )
    if endpoint:
        config["base_url"] = endpoint
    is_nobody = account is None and not any(access.variable(name) for name in _GS_VARIABLES)
    return Opening(GCSStore, bucket, config, endpoint, is_nobody, hint)


def plan_az(container: str, access: Access) -> Opening:
    from obstore.store import AzureStore  # noqa: PLC0415

    endpoint = check_endpoint("AZURE_STORAGE_ENDPOINT", access.get("AZURE_STORAGE_ENDPOINT"))
    account = access.get("AZURE_STORAGE_ACCOUNT_NAME")
    hint = (
        "spec.model.credentials takes the keys AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or "
        "AZURE_STORAGE_SAS_TOKEN, and AZURE_STORAGE_ENDPOINT for other clouds than the public one"
    )
    if account is None:
        raise StartupError(FailureReason.ACCESS_DENIED, f"az:// needs to know the storage account: {hint}")
    config: dict[str, Any] = {"account_name": account}
    if endpoint:
        config["endpoint"] = endpoint
    key, signature = access.secret("AZURE_STORAGE_ACCOUNT_KEY"), access.secret("AZURE_STORAGE_SAS_TOKEN")
    provider = None
    if key is not None:
        provider = lambda: {"access_key": key, "expires_at": None}  # noqa: E731
    elif signature is not None:
        provider = lambda: {"sas_token": signature.lstrip("?"), "expires_at": None}  # noqa: E731
    is_nobody = provider is None and not any(access.variable(name) for name in _AZ_VARIABLES)
    return Opening(AzureStore, container, config, endpoint, is_nobody, hint, provider)


def _read_service_account(text: str, hint: str) -> dict[str, Any]:
    try:
        known: Any = json.loads(text)
    except ValueError:
        known = None
    if not isinstance(known, dict) or "private_key" not in known:
        raise StartupError(
            FailureReason.ACCESS_DENIED,
            f"the credentials' key {SERVICE_ACCOUNT} is no key file in JSON: {hint}",
        )
    return known
