"""What is written down of a request when it ends: one line of the log, and the metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from app.core import GenerationRequest, GenerationResult
from app.errors import Cancelled, CartridgeError
from app.invoker.service import Service
from app.logs import log_event


class Account:
    def __init__(self, service: Service, request_id: str) -> None:
        self._service = service
        self._started = time.monotonic()
        self._request_id = request_id
        self._status, self._rom_id = 500, "none"
        self._fields: dict[str, Any] = {}

    def asked(self, generation: GenerationRequest) -> None:
        self._request_id = generation.request_id
        self._fields |= {"model": generation.model, "prompt_characters": sum(map(len, generation.params.prompts))}
        if self._service.options.log_prompts:
            self._fields["prompt"] = generation.params.prompt

    def streams(self) -> None:
        """From here on only its client's leaving ends the request without success or failure."""
        self._status = Cancelled.http_status

    def succeeded(self, result: GenerationResult) -> None:
        self._status, self._rom_id = 200, result.route.rom_id
        timings = {name: round(value, 4) for name, value in asdict(result.timings).items()}
        self._fields |= {"steps": result.completed_steps, "timings": timings}

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Note an error on its way through."""
        try:
            yield
        except CartridgeError as error:
            self._status = error.http_status
            self._fields |= {"code": error.code, "message": error.message, "param": error.param}
            raise
        except Exception:
            self._status = CartridgeError.http_status
            raise

    def close(self) -> None:
        seconds = time.monotonic() - self._started
        self._service.metrics.observe_request(self._status, self._rom_id, seconds)
        log_event(
            "request",
            request_id=self._request_id,
            rom=self._rom_id,
            status=self._status,
            seconds=round(seconds, 4),
            **self._fields,
        )
