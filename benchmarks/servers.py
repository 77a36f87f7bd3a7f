"""vinoserve and its peers as commands: what each is given to serve a model, on which ports, and how it is told to batch.

All of them serve the same model, compiled by the same OpenVINO with the same performance hint, on the same cores.
"""

import contextlib
import http.client
import json
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import yaml

from benchmarks.environments import find_packages, make_environment
from benchmarks.models import Model
from benchmarks.payloads import MODEL_NAME, Protocol
from benchmarks.process import LOOPBACK, Group, ServerError, find_ports, running, wait_until
from tools.toolbox.errors import ToolError

Hint = Literal["LATENCY", "THROUGHPUT"]
SERVED: Final = Path(__file__).parent / "served"
_START_SECONDS: Final = 120.0
_TRIES: Final = 2  # another process may take a port between its choice and its use


@dataclass(frozen=True)
class Setup:
    """How a model is served. `max_batch`: requests that the server may put together; 0: none. `cores`: the servers'."""

    model: Model
    hint: Hint
    cores: Sequence[int]
    max_batch: int = 0


@dataclass(frozen=True)
class Command:
    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


Prepare = Callable[[Setup, Path, Sequence[int]], Command]
"""Writes what the server needs into the folder; the command that serves on the ports: REST, gRPC, and two more."""


@dataclass(frozen=True)
class Server:
    """`binary`: REST with the binary extension. `batches`: it can put requests together. `kill`: it ends by SIGKILL alone."""

    name: str
    prepare: Prepare
    binary: bool = True
    batches: bool = True
    kill: bool = False
    environment: str | None = None

    def install(self) -> None:
        """What it needs, made where it is missing. Raises ToolError with why it can't be."""
        if self.environment:
            make_environment(self.environment)
        if self.name == TRITON and not find_stub().exists():
            raise ToolError(
                f"its Python backend has no stub for Python {sys.version_info.major}.{sys.version_info.minor}"
            )

    def can(self, protocol: Protocol) -> bool:
        return self.binary or protocol != "REST binary"


@dataclass(frozen=True)
class Running:
    """A server that is ready; `seconds`: from its start until it said so."""

    group: Group
    rest: int
    grpc: int
    seconds: float = 0.0

    def port(self, protocol: Protocol) -> int:
        return self.grpc if protocol == "gRPC" else self.rest

    @property
    def ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.rest, timeout=2)
        try:
            connection.request("GET", f"/v2/models/{MODEL_NAME}/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def serving(server: Server, setup: Setup, folder: Path, *, keep: bool = False) -> Iterator[Running]:
    """The server, ready to infer. `keep`: `folder` is as an earlier start left it. Raises ServerError."""
    with contextlib.ExitStack() as stack:
        for left in reversed(range(_TRIES)):
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                started = _start(server, setup, folder, stack)
            except ServerError:
                stack.close()
                if not left:
                    raise
            else:
                break
        yield started


def _start(server: Server, setup: Setup, folder: Path, stack: contextlib.ExitStack) -> Running:
    ports = find_ports(4)
    command = server.prepare(setup, folder, ports)
    begun = time.monotonic()
    group = stack.enter_context(
        running(command.argv, folder=folder, env=command.env, cores=setup.cores, kill=server.kill)
    )
    started = Running(group, ports[0], ports[1])
    wait_until(lambda: started.ready, group, _START_SECONDS)
    return replace(started, seconds=time.monotonic() - begun)


def prepare_vinoserve(setup: Setup, folder: Path, ports: Sequence[int]) -> Command:
    spec: dict[str, object] = {
        "model": {"uri": f"file:{setup.model.path}"},
        "targetDevice": "CPU",
        "hints": {"performanceMode": setup.hint},
    }
    if setup.max_batch:
        spec["batching"] = {"maxBatchSize": setup.max_batch}
    manifest = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": MODEL_NAME},
        "spec": spec,
    }
    (folder / "service.yaml").write_text(yaml.safe_dump(manifest))
    vinoserve = Path(sys.executable).with_name("vinoserve")
    options = [f"--http-port={ports[0]}", f"--grpc-port={ports[1]}", f"--admin-port={ports[2]}"]
    return Command([vinoserve, "serve", "service.yaml", *options, f"--cache-dir={folder / 'cache'}"])


def prepare_kserve(setup: Setup, folder: Path, ports: Sequence[int]) -> Command:  # noqa: ARG001
    python = make_environment("kserve") / "bin/python"
    options = [f"--http_port={ports[0]}", f"--grpc_port={ports[1]}", "--enable_docs_url=false"]
    options += ["--configure_logging=false", "--enable_latency_logging=false"]
    return Command([python, SERVED / "kserve_server.py", *options], make_peer_env(setup))


def prepare_mlserver(setup: Setup, folder: Path, ports: Sequence[int]) -> Command:
    settings = {
        "host": LOOPBACK,
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_port": ports[2],
        "parallel_workers": 0,  # in the server's process: workers of its own don't start with uvloop from 0.22 on
        "debug": False,
    }
    model: dict[str, object] = {"name": MODEL_NAME, "implementation": "mlserver_model.OpenVinoModel"}
    if setup.max_batch:
        model |= {"max_batch_size": setup.max_batch, "max_batch_time": 0.002}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return Command([make_environment("mlserver") / "bin/mlserver", "start", "."], make_peer_env(setup))


def prepare_triton(setup: Setup, folder: Path, ports: Sequence[int]) -> Command:
    environment = make_environment("triton")
    packages = find_packages(environment)
    home = packages / "pytriton/tritonserver"
    backend = folder / "backends/python"
    shutil.copytree(home / "backends/python", backend)
    shutil.copy2(find_stub(), backend)
    version = folder / f"models/{MODEL_NAME}/1"
    version.mkdir(parents=True)
    shutil.copy2(SERVED / "triton_model.py", version / "model.py")
    (version.parent / "config.pbtxt").write_text(make_triton_config(setup))
    ports_options = [f"--http-port={ports[0]}", f"--grpc-port={ports[1]}", "--allow-metrics=false"]
    options = [f"--model-repository={folder / 'models'}", f"--backend-directory={folder / 'backends'}"]
    options += [f"--http-address={LOOPBACK}", f"--grpc-address={LOOPBACK}", "--disable-auto-complete-config"]
    libraries = [
        home / "external_libs",
        packages / "nvidia_pytriton.libs",
        sysconfig.get_config_var("LIBDIR"),
    ]
    env = make_peer_env(setup)
    env["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
    env["BENCH_PATH"] = f"{packages}:{SERVED}"
    env["PYTHONHOME"] = sys.base_prefix
    return Command([home / "bin/tritonserver", *ports_options, *options], env)


def make_triton_config(setup: Setup) -> str:
    """Triton's model configuration. Where throughput is asked for, an instance with one stream for each core; else one."""
    tensors = []
    for kind, found in (("input", setup.model.inputs), ("output", setup.model.outputs)):
        for tensor in found:
            dims = tensor.dims[1:] if setup.max_batch else tensor.dims
            fields = [f'name: "{tensor.name}"', f"data_type: TYPE_{tensor.datatype}", f"dims: {list(dims)}"]
            tensors.append(f"{kind} {{ {', '.join(fields)} }}")
    instances = len(setup.cores) if setup.hint == "THROUGHPUT" and not setup.max_batch else 1
    lines = [f'name: "{MODEL_NAME}"', 'backend: "python"', f"max_batch_size: {setup.max_batch}", *tensors]
    lines.append(f"instance_group {{ count: {instances}, kind: KIND_CPU }}")
    if setup.max_batch:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def find_stub() -> Path:
    packages = find_packages(make_environment("triton"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return packages / "pytriton/tritonserver/python_backend_stubs" / version / "triton_python_backend_stub"


def make_peer_env(setup: Setup) -> dict[str, str]:
    return {
        "BENCH_MODEL": str(setup.model.path),
        "BENCH_HINT": setup.hint,
        "BENCH_TENSORS": str(setup.model.tensors_path),
        "PYTHONPATH": str(SERVED),
    }


VINOSERVE: Final = "vinoserve"
TRITON: Final = "Triton"
KSERVE: Final = "KServe"
MLSERVER: Final = "MLServer"

SERVERS: Final = (
    Server(VINOSERVE, prepare_vinoserve),
    Server(TRITON, prepare_triton, kill=True, environment="triton"),
    Server(KSERVE, prepare_kserve, batches=False, environment="kserve"),
    Server(MLSERVER, prepare_mlserver, binary=False, environment="mlserver"),
)
__all__ = ["SERVERS", "Server", "ServerError", "Setup", "serving"]
