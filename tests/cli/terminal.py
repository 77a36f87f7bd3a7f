"""Run a command on a terminal of its own."""

import os
import pty
import subprocess
import threading


def run_on_terminal(
    command: list[str], *, env: dict[str, str] | None = None, until: str | None = None, patience: float = 120
) -> tuple[int, str, str]:
    """(exit code, what came on standard output, what came on standard error), both terminals.

    `until`: what it says on standard output when it has to be told to end.
    """
    ends = [pty.openpty(), pty.openpty()]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **(env or {})},
    )
    said = [bytearray(), bytearray()]

    def read(number: int) -> None:
        while True:
            try:
                data = os.read(ends[number][0], 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            said[number] += data
            if until is not None and number == 0 and until.encode() in said[0]:
                process.terminate()

    for _, theirs in ends:
        os.close(theirs)
    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(patience)
    finally:
        process.kill()
        for reader in readers:
            reader.join()
        for ours, _ in ends:
            os.close(ours)
    return code, said[0].decode(), said[1].decode()
