"""One measurement: a client against a server that answers right, with the processor time that it took."""

import http.client
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks.clients import Client, Measured, make_whole_seconds, read_h2load, read_openloop, read_wrk
from benchmarks.models import Model
from benchmarks.payloads import Payload, find_difference, make_payload, read_message, read_rest
from benchmarks.process import LOOPBACK, Group, ServerError, pin
from benchmarks.programs import Programs
from benchmarks.results import Load, Round

_ANSWER_SECONDS = 60
_OPEN_CONNECTIONS = {"REST binary": 64, "REST JSON": 64, "gRPC": 4}
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class Meter:
    """`folder`: the clients'. `cores`: theirs."""

    programs: Programs
    folder: Path
    cores: Sequence[int]

    def check(self, port: int, model: Model, load: Load) -> int:
        """Ask once. The answer's size in bytes; raises ServerError where it is wrong."""
        payload = make_payload(model, load.protocol)
        size, found = ask_grpc(port, payload) if load.protocol == "gRPC" else ask_rest(port, payload)
        if wrong := find_difference(found, model.expected):
            raise ServerError(f"answers wrongly over {load.protocol}: {wrong}")
        return size

    def measure(
        self,
        group: Group,
        port: int,
        payload: Payload,
        load: Load,
        *,
        seconds: float,
        rate: float | None = None,
    ) -> Round:
        """`rate`: requests per second; None: closed loop. Raises ServerError where the client failed."""
        folder = self.folder / load.protocol.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        client = Client(self.programs, folder)
        client.write(payload)
        before = group.measure_cpu()
        found = self._run(client, port, payload, load, seconds=seconds, rate=rate)
        cpu = group.measure_cpu() - before
        if not found.answers:
            raise ServerError(f"no answer within {seconds:g} s")
        return Round(
            answers_per_second=round(found.answers_per_second, 1),
            p50_ms=round(found.p50_ms, 4),
            p99_ms=round(found.p99_ms, 4),
            failed=found.failed,
            rate=None if rate is None else round(rate, 1),
            cpu_seconds=None if rate is not None else round(cpu / found.answers * 1000, 4),
        )

    def _run(
        self, client: Client, port: int, payload: Payload, load: Load, *, seconds: float, rate: float | None
    ) -> Measured:
        if rate is not None:
            connections = _OPEN_CONNECTIONS[load.protocol]
            command = client.make_openloop(port, payload, rate=rate, connections=connections, seconds=seconds)
            return read_openloop(self._call(command, client.folder, seconds))
        if load.protocol == "gRPC":
            command = client.make_h2load(
                port, payload, connections=load.connections, streams=load.streams, seconds=seconds
            )
            log_file = client.folder / "h2load.log"
            log_file.unlink(missing_ok=True)  # h2load would write on
            output = self._call(command, client.folder, seconds)
            log = log_file.read_text().splitlines()
            return read_h2load(output, log, make_whole_seconds(seconds))
        command = client.make_wrk(port, payload, connections=load.connections, seconds=seconds)
        return read_wrk(self._call(command, client.folder, seconds))

    def _call(self, command: Sequence[str], folder: Path, seconds: float) -> str:
        done = subprocess.run(
            [*pin(self.cores), *command],
            cwd=folder,
            env=self.programs.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + 120,
            check=False,
        )
        if done.returncode:
            raise ServerError(
                f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}"
            )
        return done.stdout


def ask_rest(port: int, payload: Payload) -> tuple[int, dict[str, np.ndarray]]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("POST", payload.target, payload.body, dict(payload.headers))
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{payload.protocol}: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise ServerError(
            f"{payload.protocol}: status {answer.status}: {body[:300].decode(errors='replace')}"
        )
    return len(body), read_rest(body, answer.headers.get("Inference-Header-Content-Length"))


def ask_grpc(port: int, payload: Payload) -> tuple[int, dict[str, np.ndarray]]:
    with grpc.insecure_channel(f"{LOOPBACK}:{port}", options=_UNLIMITED) as channel:
        try:
            answer: bytes = channel.unary_unary(payload.target)(payload.body[5:], timeout=_ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise ServerError(f"gRPC: {error.code().name}: {error.details()}") from None
    return len(answer), read_message(answer)
