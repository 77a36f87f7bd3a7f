"""Progress for a person at a terminal: a row a phase, on stderr. Without a terminal there is none, and rich isn't imported."""

import logging
import sys
from typing import Any, Final, Self

from vinoserve_api.contract import Phase
from vinoserve_runtime.logs import configure_logs

_SHOWN: Final[dict[Phase, str]] = {
    "Fetching": "Fetching",
    "Reading": "Reading",
    "Compiling": "Compiling",
    "Comparing": "Comparing with the reference",
    "WarmingUp": "Warming up",
}


class Display:
    """From the first phase to `close`, or to the end of its context. Meanwhile the logs say only what is more than a phase."""

    def __init__(self) -> None:
        configure_logs(level=logging.WARNING)
        self._rows = _make_rows()
        self._rows.start()
        self._phase: Phase | None = None
        self._row: Any = None

    def show(self, phase: Phase, done: int | None = None, total: int | None = None) -> None:
        """`done` and `total`: bytes, where the phase has them. A phase that begins ends the one before; one without a row, all."""
        if phase not in _SHOWN:
            self.close(finished=phase == "Ready")
            return
        if phase != self._phase:
            self._end_row()
            self._phase = phase
            self._row = self._rows.add_task(_SHOWN[phase], total=None, in_bytes=False, is_broken_off=False)
        if done is not None:
            self._rows.update(self._row, completed=done, total=total, in_bytes=True)

    def close(self, *, finished: bool) -> None:
        """Leaves the rows where they are. `finished`: the last phase came to its end. Once more does nothing."""
        if not self._rows.live.is_started:
            return
        self._end_row(finished=finished)
        self._rows.stop()
        configure_logs()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self.close(finished=error is None)

    def _end_row(self, *, finished: bool = True) -> None:
        if self._row is None:
            return
        row = self._rows.tasks[self._row]
        self._rows.stop_task(self._row)  # its seconds, which count on otherwise
        if finished:
            self._rows.update(self._row, completed=row.completed or 1, total=row.completed or 1)
        else:
            self._rows.update(self._row, total=row.total or row.completed + 1, is_broken_off=True)
        self._row = None


def make_display() -> Display | None:
    """None where nobody looks."""
    return Display() if sys.stderr.isatty() else None


def _make_rows() -> Any:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Mark(SpinnerColumn):
        def render(self, task: Task) -> Any:
            return Text("✗") if task.fields["is_broken_off"] else super().render(task)

    class Speed(TransferSpeedColumn):
        """Nothing where it came at once."""

        def render(self, task: Task) -> Text:
            return super().render(task) if task.finished_speed or task.speed else Text()

    class Seconds(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.elapsed or 0.0:.1f} s")

    class OfBytes(ProgressColumn):
        """Another column, in rows that count bytes."""

        def __init__(self, column: ProgressColumn) -> None:
            super().__init__()
            self._column = column

        def render(self, task: Task) -> Any:
            return self._column.render(task) if task.fields["in_bytes"] else Text()

    return Progress(
        Mark(finished_text="✓"),
        TextColumn("{task.description}", table_column=Column(min_width=12), markup=False),
        BarColumn(bar_width=20),
        Seconds(),
        OfBytes(DownloadColumn(binary_units=True)),
        OfBytes(Speed()),
        console=Console(stderr=True),
    )
