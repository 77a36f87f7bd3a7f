"""RuntimeConfigs for tests: what is not said is as an InferenceService has it."""

from pathlib import Path
from typing import Any

from vinoserve_api.contract import RuntimeConfig


def make_config(path: Path | str = "file:/nowhere", **fields: Any) -> RuntimeConfig:
    """`path`: a file, or a uri. Fields by their names on the wire; `digest` and `format` belong to the model."""
    model = {"uri": f"file:{path}" if isinstance(path, Path) else path, "name": "model", "version": "1"}
    model |= {key: fields.pop(key) for key in ("digest", "format", "name") if key in fields}
    limits = {
        "maxRequestBytes": 67108864,
        "maxQueuedRequests": 256,
        "requestTimeoutSeconds": 30,
        "maxImagePixels": 64_000_000,
    }
    return RuntimeConfig.load(
        {
            "model": model,
            "targetDevice": "CPU",
            "onFallback": "Warn",
            "warmupRequests": 3,
            "limits": limits,
            **fields,
        }
    )
