"""The clients' commands and what they print: wrk for REST and h2load for gRPC in a closed loop, openloop for fixed rates."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.payloads import Payload
from benchmarks.process import LOOPBACK
from benchmarks.programs import Programs

#: Percentiles come as JSON, in microseconds, because wrk's own table rounds them.
_WRK_SCRIPT = """
wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
file:close()
{headers}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{{"requests": %d, "microseconds": %d, "bytes": %d, "failed": %d, "p50": %f, "p99": %f}}',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Measured:
    """What a client saw in one round. Times in milliseconds; `failed`: not answered, or not with a success."""

    answers: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float

    @property
    def answers_per_second(self) -> float:
        return self.answers / self.seconds


@dataclass(frozen=True)
class Client:
    """A command, and how to read what it leaves. `folder` holds the request's body and is the client's to write in."""

    programs: Programs
    folder: Path

    def write(self, payload: Payload) -> None:
        (self.folder / "body").write_bytes(payload.body)
        (self.folder / "message").write_bytes(payload.body[5:])
        (self.folder / "wrk.lua").write_text(make_wrk_script(payload, self.folder / "body"))

    def make_wrk(self, port: int, payload: Payload, *, connections: int, seconds: float) -> list[str]:
        options = [
            "-t1",
            f"-c{connections}",
            f"-d{make_whole_seconds(seconds)}",
            "--timeout",
            "60",
            "-s",
            "wrk.lua",
        ]
        return [str(self.programs.wrk), *options, f"http://{LOOPBACK}:{port}{payload.target}"]

    def make_h2load(
        self, port: int, payload: Payload, *, connections: int, streams: int, seconds: float
    ) -> list[str]:
        options = [
            "-t1",
            f"-c{connections}",
            f"-m{streams}",
            f"-D{make_whole_seconds(seconds)}",
        ]
        headers = [part for name, value in payload.headers.items() for part in ("-H", f"{name}: {value}")]
        files = ["-d", "body", "--log-file=h2load.log"]
        url = f"http://{LOOPBACK}:{port}{payload.target}"
        return [str(self.programs.h2load), *options, *headers, *files, url]

    def make_openloop(
        self, port: int, payload: Payload, *, rate: float, connections: int, seconds: float
    ) -> list[str]:
        command = [str(self.programs.openloop), "-address", f"{LOOPBACK}:{port}", "-target", payload.target]
        command += ["-rate", f"{rate:.3f}", "-seconds", str(seconds), "-connections", str(connections)]
        if payload.protocol == "gRPC":
            return [*command, "-grpc", "-body", "message"]
        headers = "|".join(f"{name}:{value}" for name, value in payload.headers.items())
        return [*command, "-body", "body", "-headers", headers]


def make_whole_seconds(seconds: float) -> int:
    """wrk and h2load know no less than a second."""
    return max(1, round(seconds))


def make_wrk_script(payload: Payload, body: Path) -> str:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in payload.headers.items())
    return _WRK_SCRIPT.format(body=body, headers=headers)


def read_wrk(output: str) -> Measured:
    """The line that the script of `make_wrk_script` ends with."""
    found: Mapping[str, Any] = json.loads(output[output.rindex("{") :])
    answers = found["requests"] - found["failed"]
    p50, p99 = (found[key] / 1000 for key in ("p50", "p99"))
    return Measured(answers, found["microseconds"] / 1e6, found["failed"], p50, p99)


def read_h2load(output: str, log: Sequence[str], seconds: float) -> Measured:
    """Counts from h2load's summary; percentiles from its log, a line a request: start, status, microseconds."""
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    if not counts:
        raise ValueError(f"h2load printed no summary of its requests:\n{output}")
    succeeded, failed, _, timeout = map(int, counts.groups())
    times = sorted(int(line.split("\t")[2]) for line in log if line.split("\t")[1] == "200")
    p50, p99 = (find_percentile(times, share) / 1000 for share in (0.5, 0.99))
    return Measured(succeeded, seconds, failed + timeout, p50, p99)


def read_openloop(output: str) -> Measured:
    found: Mapping[str, Any] = json.loads(output)
    return Measured(
        found["answered"],
        max(found["took_seconds"], found["seconds"]),
        found["failed"],
        found["p50_ms"],
        found["p99_ms"],
    )


def find_percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them don't exceed; NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
