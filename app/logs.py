"""Logs: one JSON object a line on standard output."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

_logger = logging.getLogger("cartridge")
_logger.addHandler(logging.NullHandler())  # a process that configures no logs, as commands do, writes none
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class JsonFormatter(logging.Formatter):
    """Time, level, event, and whatever fields the event carries; what others log, with the name of their logger."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.name != _logger.name:
            line["logger"] = record.name
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs() -> None:
    """Send everything that Python logs to standard output, as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _logger.setLevel(logging.INFO)


def log_event(
    event: str,
    /,
    *,
    level: Literal["info", "warning", "error"] = "info",
    error: BaseException | None = None,
    **fields: object,
) -> None:
    """One line. A warning is for somebody to look at. An `error` adds its traceback and makes the line an error."""
    _logger.log(_LEVELS[level if error is None else "error"], event, exc_info=error, extra={"fields": fields})
