"""Where no cluster can be had: the same InferenceService, served on this machine by `vinoserve serve`."""

import http.client
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tools.demo.manifests import SERVICE, make_inference_service
from tools.fakegpu.environment import environment
from tools.toolbox.cache import cache_root
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say, show_time

READY = 600  # seconds; the emulated GPU compiles its kernels first
BEAT = 15  # seconds between two signs of life


@contextmanager
def serving(model: Path, digest: str, device: str) -> Iterator[str]:
    """`vinoserve serve` while the block runs, ready; gives the URL that infers. A GPU is an emulated one."""
    if device == "GPU" and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ToolError(
            "DEVICE=GPU: the GPU is emulated, which works on Linux on x86_64 alone; leave DEVICE out"
        )
    work = cache_root() / "demo"
    manifest, log = work / "ppocr.yaml", work / "serve.log"
    document = make_inference_service(f"file:{model}", digest, device, None)
    manifest.write_text(yaml.safe_dump(document, sort_keys=False))
    port, admin = find_ports(2)
    command = [
        *(sys.executable, "-m", "vinoserve_cli", "serve", str(manifest)),
        *("--http-port", str(port), "--grpc-port", "0", "--admin-port", str(admin)),
        *("--cache-dir", str(work / "compiled")),
    ]
    say(f"    vinoserve serve {manifest}")
    env = {**os.environ, **(environment(1) if device == "GPU" else {})}
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as server:
        try:
            wait_ready(server, port, log)
            yield f"http://127.0.0.1:{port}/v2/models/{SERVICE}/infer"
        finally:
            server.terminate()


def wait_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    started = said_at = time.monotonic()
    while not is_ready(port):
        if server.poll() is not None:
            raise ToolError(f"`vinoserve serve` ended ({server.returncode}):\n{log.read_text()[-2000:]}")
        now = time.monotonic()
        if now - said_at >= BEAT:
            say(f"    {show_time(now - started)} ...")
            said_at = now
        if now - started > READY:
            raise ToolError(f"`vinoserve serve` was not ready after {READY} s: see {log}")
        time.sleep(0.2)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def find_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
