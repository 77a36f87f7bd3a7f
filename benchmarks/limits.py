"""The limits: OpenVINO's benchmark_app without a server, and bare transports that answer without looking at what was asked."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.models import Model
from benchmarks.payloads import GRPC_TARGET, Payload, make_frame
from benchmarks.process import LOOPBACK, Group, find_ports, pin, running, wait_until
from benchmarks.programs import Programs
from benchmarks.servers import SERVED, Hint
from tools.toolbox.errors import ToolError

ECHO = "bare loop"
NGHTTPD = "nghttpd"
_UNITS = {"us": 1e-3, "ms": 1.0}


@contextlib.contextmanager
def echoing(payload: Payload, answer: int, folder: Path, cores: Sequence[int]) -> Iterator[tuple[Group, int]]:
    """A loop that takes REST requests as long as `payload` and answers `answer` bytes each; its group and port."""
    folder.mkdir(parents=True, exist_ok=True)
    [port] = find_ports(1)
    command = [sys.executable, str(SERVED / "echo.py"), str(port), str(len(payload.body)), str(answer)]
    with running(command, folder=folder, env={}, cores=cores) as group:
        wait_until(lambda: listens(port), group, 30)
        yield group, port


@contextlib.contextmanager
def serving_file(
    programs: Programs, answer: int, folder: Path, cores: Sequence[int]
) -> Iterator[tuple[Group, int]]:
    """nghttpd, a native HTTP/2 server that answers each request with the same file of `answer` bytes."""
    file = folder / f"root{GRPC_TARGET}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(make_frame(b"x" * answer))
    [port] = find_ports(1)
    command = [
        str(programs.nghttpd),
        "--no-tls",
        f"--address={LOOPBACK}",
        "-d",
        str(folder / "root"),
        str(port),
    ]
    libraries = {"LD_LIBRARY_PATH": programs.env["LD_LIBRARY_PATH"]}
    with running(command, folder=folder, env=libraries, cores=cores) as group:
        wait_until(lambda: listens(port), group, 30)
        yield group, port


def listens(port: int) -> bool:
    """Looked up in /proc: a connection would be a request that never comes."""
    wanted = f"{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A" for line in lines)


def run_benchmark_app(
    model: Model, hint: Hint, *, api: str, batch: int, seconds: float, cores: Sequence[int]
) -> tuple[float, float]:
    """Rows per second and the median in ms of one inference; `batch`: rows of each, where the model leaves that open."""
    command = [
        *pin(cores),
        str(Path(sys.executable).with_name("benchmark_app")),
        "-m",
        str(model.path),
        "-d",
        "CPU",
    ]
    command += ["-hint", hint.lower(), "-api", api, "-t", str(max(1, round(seconds)))]
    if any(-1 in tensor.dims for tensor in model.inputs):
        shapes = [f"{t.name}[{','.join(map(str, make_shape(t.shape, t.dims, batch)))}]" for t in model.inputs]
        command += ["-shape", ",".join(shapes)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(model.folder)}
    )
    if done.returncode:
        raise ToolError(f"benchmark_app failed: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    iterations, median = read_benchmark_app(done.stdout)
    return iterations * batch, median


def make_shape(shape: Sequence[int], dims: Sequence[int], batch: int) -> tuple[int, ...]:
    return tuple(
        batch if i == 0 and dim == -1 else size for i, (size, dim) in enumerate(zip(shape, dims, strict=True))
    )


def read_benchmark_app(output: str) -> tuple[float, float]:
    """Inferences per second and the median in ms."""
    count = re.search(r"Count:\s+(\d+) iterations", output)
    duration = re.search(r"Duration:\s+([\d.]+) ms", output)
    median = re.search(r"Median:\s+([\d.]+) (us|ms)", output)
    if not (count and duration and median):
        raise ValueError(f"benchmark_app printed no count, duration or median:\n{output}")
    return int(count[1]) / float(duration[1]) * 1000, float(median[1]) * _UNITS[median[2]]
