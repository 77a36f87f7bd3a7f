"""Fetch into a folder of a test's own, as the init container does it, with a Secret's keys."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vinoserve_api.contract import ModelSource
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.fetch import fetch_model
from vinoserve_runtime.model.fetched import Fetched


def sha(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fetch(folder: Path, uri: str, secret: Mapping[str, str] | None = None, **fields: Any) -> Fetched:
    progress, size_limit = fields.pop("progress", None), fields.pop("size_limit", None)
    (folder / "credentials").mkdir(parents=True, exist_ok=True)
    for name, content in (secret or {}).items():
        (folder / "credentials" / name).write_text(content)
    return fetch_model(
        ModelSource(uri=uri, name="m", version="1", **fields),
        model_dir=folder / "models",
        claim_dir=folder / "claim",
        credentials_dir=folder / "credentials",
        size_limit=size_limit,
        progress=progress,
    )


def failure(folder: Path, uri: str, secret: Mapping[str, str] | None = None, **fields: Any) -> StartupError:
    with pytest.raises(StartupError) as caught:
        fetch(folder, uri, secret, **fields)
    return caught.value
