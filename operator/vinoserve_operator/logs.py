"""One JSON object a line on stderr, other libraries' records too; and the line of a reconciliation that wrote something."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from vinoserve_api.v1alpha1 import Condition

log = structlog.get_logger()


@dataclass
class Written:
    """What one look at an object has written, also where it ended in an error; kinds of children, and fields of its status."""

    object: str
    generation: int | None
    applied: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    conditions: dict[str, str] = field(default_factory=dict)

    def note_status(
        self, before: Mapping[str, Any], now: Mapping[str, Any], conditions: Sequence[Condition]
    ) -> None:
        """The status was written, and these are its conditions now; told is what has changed."""
        known = {c["type"]: (c["status"], c["reason"]) for c in before.get("conditions") or ()}
        changed = [c for c in conditions if known.get(c.type) != (c.status, c.reason)]
        self.status = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        self.conditions = {c.type: f"{c.status} {c.reason}" for c in changed}

    def log(self) -> None:
        """One line, or none where nothing was written."""
        if self.applied or self.deleted or self.status:
            log.info("reconciled", **{name: value for name, value in vars(self).items() if value})


def configure_logs(level: str) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    if level != "DEBUG":
        # A line for each event of each object would bury what happened.
        logging.getLogger("kopf").setLevel(logging.WARNING)
        # It warns that signals aren't its own: they are ours.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
