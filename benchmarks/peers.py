"""The peers of our service: plain diffusers behind a lock, and LitServe with its own batching.

`python -m benchmarks.peers serial|litserve ROM_DIR PORT` runs one; both answer what ours answers to the same request.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from diffusers import StableDiffusionPipeline
from fastapi import FastAPI
from litserve import LitAPI, LitServer  # type: ignore[import-untyped]
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import OutputOptions
from app.imaging import encode_image
from benchmarks.servers import ARRIVED_AT, LITSERVE, SERIAL, ImageRequest

_HOST = "127.0.0.1"
_MAX_BATCH_SIZE = 8  # as many as our service takes by default
_BATCH_TIMEOUT_S = 0.05


class Pipeline:
    """StableDiffusionPipeline on one ROM, in float32 on the CPU."""

    def __init__(self, directory: Path) -> None:
        self._pipeline = StableDiffusionPipeline.from_pretrained(
            directory,
            safety_checker=None,
            requires_safety_checker=False,
            feature_extractor=None,
            dtype=torch.float32,
            local_files_only=True,
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.unet.register_forward_pre_hook(self._note_step)
        self._first_step_at: float | None = None

    def __call__(self, requests: Sequence[ImageRequest]) -> list[dict[str, Any]]:
        """The JSON of every answer, from one call: the requests may differ in prompt and seed alone."""
        self._first_step_at = None
        shared = requests[0]
        output = self._pipeline(
            [request.prompt for request in requests],
            num_inference_steps=shared.num_inference_steps,
            guidance_scale=shared.guidance_scale,
            width=shared.width,
            height=shared.height,
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
            output_type="np",
        )
        pixels = (output.images * 255).round().astype(np.uint8)
        encoded = [base64.b64encode(encode_image(image, OutputOptions())).decode() for image in pixels]
        images = [{"b64_json": text, "finish_reason": "completed"} for text in encoded]
        return [{"images": [image], "first_step_at": self._first_step_at} for image in images]

    def _note_step(self, *_: object) -> None:
        if self._first_step_at is None:
            self._first_step_at = time.monotonic()


class Arrivals:
    """Says in a header of every answer when its request came in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived_at = time.monotonic()

        async def send_with_arrival(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[ARRIVED_AT] = repr(arrived_at)
            await send(message)

        await self._app(scope, receive, send_with_arrival)


class BatchedPipeline(LitAPI):  # type: ignore[misc]
    """What LitServe calls with the requests that came in within its timeout."""

    def __init__(self, directory: Path) -> None:
        super().__init__(max_batch_size=_MAX_BATCH_SIZE, batch_timeout=_BATCH_TIMEOUT_S, api_path="/invocations")
        self._directory = directory

    def setup(self, device: str) -> None:
        self._pipeline = Pipeline(self._directory)

    def predict(self, contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One call of the pipeline for all requests that agree in everything but prompt and seed."""
        requests = [ImageRequest(**content) for content in contents]
        groups: dict[tuple[float, ...], list[int]] = {}
        for index, request in enumerate(requests):
            key = (request.num_inference_steps, request.guidance_scale, request.width, request.height)
            groups.setdefault(key, []).append(index)
        answers: dict[int, dict[str, Any]] = {}
        for indices in groups.values():
            answers |= zip(indices, self._pipeline([requests[index] for index in indices]), strict=True)
        return [answers[index] for index in range(len(requests))]


def serial_app(pipeline: Pipeline) -> FastAPI:
    """One call of the pipeline at a time, first come, first served."""
    app = FastAPI()
    app.add_middleware(Arrivals)
    lock = asyncio.Lock()

    @app.post("/invocations")
    async def invocations(request: ImageRequest) -> dict[str, Any]:
        async with lock:
            (answer,) = await asyncio.to_thread(pipeline, [request])
        return answer

    @app.get("/ping")
    async def ping() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("name", choices=[SERIAL, LITSERVE])
    parser.add_argument("rom", type=Path, metavar="ROM_DIR")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    if arguments.name == SERIAL:
        uvicorn.run(serial_app(Pipeline(arguments.rom)), host=_HOST, port=arguments.port, log_level="warning")
        return
    server = LitServer(
        BatchedPipeline(arguments.rom),
        accelerator="cpu",
        devices=1,
        workers_per_device=1,
        timeout=False,
        healthcheck_path="/ping",
        middlewares=[Arrivals],
    )
    server.run(host=_HOST, port=arguments.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
