"""`vinoserve serve` and `vinoserve fetch`: the runtime, on this machine or in a pod."""

import os
import sys
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from vinoserve_api.conditions import FailureReason
from vinoserve_api.contract import (
    CACHE_DIR,
    CLAIM_DIR,
    CREDENTIALS_DIR,
    MODEL_DIR,
    RuntimeConfig,
    RuntimeFailure,
    make_runtime_config,
)
from vinoserve_api.v1alpha1 import InferenceService
from vinoserve_cli.extras import needs

#: Every address: in a pod the kubelet and the clients come from outside.
POD_HOST = ""


def serve_file(
    file: str, *, host: str | None, http_port: int, grpc_port: int, admin_port: int, cache_dir: Path | None
) -> int:
    """Serve the InferenceService in a file, without Kubernetes."""
    from vinoserve_cli.manifests import UnreadableError, read_files
    from vinoserve_cli.validate import print_problems

    with needs("runtime", "serve"):
        from vinoserve_runtime import commands

        commands.import_engine()
    try:
        found = read_files([file])
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return 2
    if print_problems(found):
        return 1
    services = [one.object for one in found if isinstance(one.object, InferenceService)]
    if len(services) != 1:
        print(f"{file}: holds {len(services)} InferenceServices; one is served at a time", file=sys.stderr)
        return 1
    folder = Path.cwd() if file == "-" else Path(file).resolve().parent
    cache = cache_dir or _default_cache_dir()
    return commands.serve(
        _with_absolute_uri(make_runtime_config(services[0]), folder),
        host=host or "127.0.0.1",
        http_port=http_port,
        grpc_port=grpc_port,
        admin_port=admin_port,
        model_dir=cache / "models",
        cache_dir=cache / "compiled",
        fetch=True,
    )


def serve_config(
    config: Path,
    *,
    host: str | None,
    http_port: int,
    grpc_port: int,
    admin_port: int,
    cache_dir: Path | None,
    precompile: bool = False,
) -> int:
    """Serve in a pod, where the init container has fetched the model; with `precompile` fill the cache and end."""
    with needs("runtime", "serve"):
        from vinoserve_runtime import commands
    read = _read_config(config)
    if isinstance(read, RuntimeFailure):
        return commands.refuse(read)
    with needs("runtime", "serve"):
        commands.import_engine()
    return commands.serve(
        read,
        host=host or POD_HOST,
        http_port=http_port,
        grpc_port=grpc_port,
        admin_port=admin_port,
        model_dir=Path(MODEL_DIR),
        cache_dir=cache_dir or Path(CACHE_DIR),
        fetch=False,
        precompile=precompile,
    )


def fetch(config: Path) -> int:
    """The init container: download, verify, unpack."""
    with needs("runtime", "fetch"):
        from vinoserve_runtime import commands
    read = _read_config(config)
    if isinstance(read, RuntimeFailure):
        return commands.refuse(read)
    return commands.fetch(
        read, model_dir=Path(MODEL_DIR), claim_dir=Path(CLAIM_DIR), credentials_dir=Path(CREDENTIALS_DIR)
    )


def _read_config(path: Path) -> RuntimeConfig | RuntimeFailure:
    """An operator of another version may have written it."""
    try:
        return RuntimeConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    except ValidationError as error:
        from importlib.metadata import version

        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = (
            f"is no RuntimeConfig of version {version('vinoserve')}: {where or 'it'}: {first['msg'].lower()}"
        )
    return RuntimeFailure(reason=FailureReason.INVALID_CONFIG, message=f"{path}: {why}")


def _with_absolute_uri(config: RuntimeConfig, folder: Path) -> RuntimeConfig:
    """A relative `file:` path counts from the manifest, wherever the command was started."""
    scheme, _, path = config.model.uri.partition(":")
    if scheme != "file" or path.startswith("/"):
        return config
    uri = f"file:{quote(folder.as_posix()).rstrip('/')}/{path}"
    return config.model_copy(update={"model": config.model.model_copy(update={"uri": uri})})


def _default_cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vinoserve"
