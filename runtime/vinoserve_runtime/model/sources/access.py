"""What lets us in: the Secret's keys, mounted as files, and the variables of the process. Values are never printed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

CA: Final = "ca.crt"


class Access:
    """A Secret's keys in `folder` (absent: none), and the environment."""

    def __init__(self, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._folder = folder
        self._environ = environ

    def __repr__(self) -> str:
        return "Access(…)"

    def get(self, name: str) -> str | None:
        """The Secret's key, else the variable of that name. An empty one counts as absent."""
        return self.secret(name) or self.variable(name)

    def secret(self, name: str) -> str | None:
        """One line of ASCII. Raises AccessDenied for anything else."""
        text = self.document(name)
        if text is not None and not (text.isascii() and text.isprintable()):
            raise StartupError(
                FailureReason.ACCESS_DENIED,
                f"the credentials' key {name} holds line breaks or other than ASCII",
            )
        return text or None

    def document(self, name: str) -> str | None:
        """A key of several lines, such as JSON or PEM."""
        try:
            return (self._folder / name).read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(
                FailureReason.ACCESS_DENIED, f"the credentials' key {name} can't be read"
            ) from error

    def variable(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    @property
    def ca(self) -> str | None:
        """Certificates in PEM to trust beside the system's. Raises FetchFailed where it holds none."""
        text = self.document(CA)
        if text is not None:
            import ssl  # noqa: PLC0415  # who serves without fetching does without it

            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
            except (ssl.SSLError, ValueError) as error:
                raise StartupError(
                    FailureReason.FETCH_FAILED, f"the credentials' key {CA} holds no certificate in PEM"
                ) from error
        return text


def check_endpoint(name: str, url: str | None) -> str | None:
    """The url of an endpoint that `name` says, without a slash at its end. Raises InvalidConfig."""
    if url is None:
        return None
    if not url.startswith(("https://", "http://")) or "@" in url or "?" in url:
        raise StartupError(
            FailureReason.INVALID_CONFIG,
            f"{name} is no endpoint: write https://HOST or https://HOST:PORT (http:// for a server on a network that you trust)",
        )
    return url.rstrip("/")
