"""Logs: one JSON object a line on standard output."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_logger = logging.getLogger("cartridge")


class JsonFormatter(logging.Formatter):
    """Time, level, event, and whatever fields the event carries."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logs() -> None:
    """Send everything that Python logs to standard output, as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _logger.setLevel(logging.INFO)


def log_event(event: str, /, *, error: BaseException | None = None, **fields: object) -> None:
    """One line. An `error` adds its traceback and makes the line an error."""
    level = logging.ERROR if error is not None else logging.INFO
    _logger.log(level, event, exc_info=error, extra={"fields": fields})
