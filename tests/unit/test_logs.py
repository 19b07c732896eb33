"""One JSON object a line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.logs import JsonFormatter, configure_logs, log_event


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("cartridge")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    own.setLevel(before[2])


def lines_of(act: Callable[[], None]) -> list[dict[str, Any]]:
    """What a configured process writes to standard output."""
    with redirect_stdout(io.StringIO()) as output:
        configure_logs()
        act()
    return [json.loads(line) for line in output.getvalue().split("\n")[:-1]]


def line_of(event: str, **fields: Any) -> dict[str, Any]:
    (line,) = lines_of(partial(log_event, event, **fields))
    return line


def test_event_is_one_json_object_with_its_fields() -> None:
    line = line_of("rom_loaded", rom="shapes", bytes=12)
    del line["time"]
    assert line == {"event": "rom_loaded", "level": "info", "rom": "shapes", "bytes": 12}


def test_a_warning_has_its_level_and_no_traceback() -> None:
    line = line_of("rom_quarantined", level="warning", rom="shapes")
    assert (line["level"], line["rom"], "exception" in line) == ("warning", "shapes", False)


def test_time_is_in_utc() -> None:
    assert datetime.fromisoformat(line_of("started")["time"]).utcoffset() == timedelta(0)


def test_newlines_stay_inside_the_object() -> None:
    prompt = 'first\nsecond "quoted"\rthird'
    assert line_of("request", prompt=prompt)["prompt"] == prompt


def test_error_adds_its_traceback_and_its_level() -> None:
    try:
        raise KeyError("missing")
    except KeyError as error:
        line = line_of("setup_failed", error=error)
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("KeyError: 'missing'")


def test_values_that_json_does_not_know_are_written_as_text() -> None:
    assert line_of("started", path=Path("/opt/ml"))["path"] == "/opt/ml"


def test_other_libraries_warn_in_the_same_shape_and_their_chatter_is_left_out() -> None:
    def library() -> None:
        logging.getLogger("some.library").info("chatter")
        logging.getLogger("some.library").warning("%d problems", 3)

    (line,) = lines_of(library)
    assert (line["level"], line["event"], line["logger"]) == ("warning", "3 problems", "some.library")


def test_records_without_fields_are_written_too() -> None:
    record = logging.LogRecord("x", logging.INFO, "file.py", 1, "hello %s", ("you",), None)
    assert json.loads(JsonFormatter().format(record))["event"] == "hello you"
