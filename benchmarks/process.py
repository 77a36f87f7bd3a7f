"""A server as a process group of its own: started on chosen cores, watched, and ended with all its children."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.toolbox.errors import ToolError

LOOPBACK = "127.0.0.1"
_PATIENCE = 20.0  # seconds for a server to end by itself
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Group:
    """A started process and whatever it started: they share its session."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def find_pids(self) -> list[int]:
        return [pid for pid, fields in _read_stats() if int(fields[3]) == self.process.pid]

    def measure_cpu(self) -> float:
        """Seconds of processor time of all of them until now, in user mode and in the kernel."""
        mine = (fields for _, fields in _read_stats() if int(fields[3]) == self.process.pid)
        return sum(int(ticks) for fields in mine for ticks in fields[11:15]) / _TICKS

    def measure_memory(self) -> int:
        """Bytes in RAM of all of them; what several of them share counts once (PSS)."""
        total = 0
        for pid in self.find_pids():
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += next(int(li.split()[1]) for li in rollup.splitlines() if li.startswith("Pss:"))
        return total * 1024

    def tail(self) -> str:
        """The end of what it printed, for an error."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n  ".join(lines[-12:]) or "it printed nothing"

    def end(self, *, at_once: bool) -> None:
        if not at_once:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_PATIENCE)
        while pids := [
            pid for pid in self.find_pids() if pid != self.process.pid or self.process.poll() is None
        ]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
        self.process.wait()


def _read_stats() -> Iterator[tuple[int, list[str]]]:
    """Every process's pid and the fields of /proc/PID/stat after its name: state, parent, group, session, …; no zombies."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    yield int(entry.name), fields


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    folder: Path,
    env: Mapping[str, str],
    cores: Sequence[int],
    kill: bool = False,
) -> Iterator[Group]:
    """`command` on `cores`, its output in `folder`/log; ended when the context ends, with SIGKILL alone if `kill`."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*pin(cores), *map(str, command)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    group = Group(process, log)
    try:
        yield group
    finally:
        group.end(at_once=kill)


def pin(cores: Sequence[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, cores))]


def find_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until(check: Callable[[], bool], group: Group, seconds: float, pause: float = 0.01) -> None:
    """Until `check` holds. Raises ServerError with what the server printed where it ends first or takes too long."""
    end = time.monotonic() + seconds
    while not check():
        if (code := group.process.poll()) is not None:
            raise ServerError(f"ended with {code}:\n  {group.tail()}")
        if time.monotonic() > end:
            raise ServerError(f"not ready after {seconds:.0f} s:\n  {group.tail()}")
        time.sleep(pause)


class ServerError(ToolError):
    """A server that didn't start, or answered wrongly."""
