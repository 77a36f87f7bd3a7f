"""The labels of one node at the API server: a GET and a server-side apply, with what a pod finds in its service account."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from vinoserve_api.nodes import NODE_LABELS

MANAGER: Final = "vinoserve-agent"
_TIMEOUT_SECONDS: Final = 10
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NodeError(Exception):
    """The API server can't be asked, or refuses."""


class NodeLabels:
    """Of the client libraries' size most would be idle: this runs on every node, in some 30 MB."""

    def __init__(self, name: str, server: str, account: Path = _ACCOUNT) -> None:
        """`server`: the API server's URL; `account`: the folder with `token`, and `ca.crt` where the URL is https."""
        self._name = name
        self._url = f"{server.rstrip('/')}/api/v1/nodes/{quote(name, safe='')}"
        self._account = account
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if server.startswith("https:"):
            context = ssl.create_default_context(cafile=str(account / "ca.crt"))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def read(self) -> dict[str, str]:
        """Those that an agent writes. Raises NodeError."""
        return _select(self._call("GET", "", None))

    def write(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Make them these, and no other that this agent has written; gives what there is then. Raises NodeError."""
        metadata = {"name": self._name, "labels": dict(labels)}
        wanted = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        return _select(self._call("PATCH", f"?fieldManager={MANAGER}&force=true", wanted))

    def _call(self, method: str, query: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"  # JSON is YAML
        try:
            # kubelet renews it every hour
            headers["Authorization"] = f"Bearer {(self._account / 'token').read_text().strip()}"
            data = json.dumps(body).encode() if body is not None else None
            request = urllib.request.Request(self._url + query, data, headers, method=method)  # noqa: S310  # the cluster's
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise NodeError(f"{method} node {self._name}: {error.code} {_read_message(error)}") from None
        except (OSError, ValueError) as error:
            raise NodeError(f"{method} node {self._name}: {error}") from None


def _select(node: Mapping[str, Any]) -> dict[str, str]:
    labels = node["metadata"].get("labels") or {}
    return {name: value for name, value in labels.items() if name in NODE_LABELS}


def _read_message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return error.reason
