"""`make bench`: our engine against plain diffusers on the same ROM, and what HTTP adds to the engine.

Rounds alternate, so that a change of the machine's mood meets both sides. Prints medians of `--rounds` rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import torch

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.core import Budget, GenerationParams
from app.engine.engine import Engine
from app.invoker.resolve import resolve
from app.invoker.runner import defaults_of
from app.metrics import Metrics
from app.roms.catalog import Rom, read_rom
from deploy.running import running_service
from evaluation.rom import load

_PROMPT = "a large red star on a black background"
_SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("rom", type=Path, metavar="ROM_DIR")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    rom = read_rom(arguments.rom)
    ours_s, plain_s = alternate([engine_call(rom), pipeline_call(rom)], arguments.rounds)
    print(f"engine            {ours_s * 1000:8.1f} ms")
    print(f"plain diffusers   {plain_s * 1000:8.1f} ms")
    print(f"ratio             {ours_s / plain_s:8.3f}")
    print(f"request - engine  {request_overhead_s(arguments.rounds) * 1000:8.1f} ms")


def alternate(calls: list[Callable[[], None]], rounds: int) -> list[float]:
    """Median seconds of each call, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for index, call in enumerate(calls):
            started = time.perf_counter()
            call()
            if number:
                seconds[index].append(time.perf_counter() - started)
    return [statistics.median(part) for part in seconds]


def engine_call(rom: Rom) -> Callable[[], None]:
    """One image through our engine: encode, denoise, decode."""
    backend = load_backend(rom, LoadOptions("cpu", "float32"))
    params, _ = resolve(GenerationParams(_PROMPT, seed=_SEED), rom.manifest, defaults_of(backend))
    engine = Engine(max_batch_size=16, observer=Metrics())
    engine.start()
    return lambda: void(engine.submit("bench", rom.id, params, backend, Budget(600)).future.result())


def pipeline_call(rom: Rom) -> Callable[[], None]:
    """The same image through StableDiffusionPipeline."""
    generate = load(rom.directory, rom.manifest.presets["default"])
    return lambda: void(generate([_PROMPT], [_SEED]))


def request_overhead_s(rounds: int) -> float:
    """Median of a whole request's time, as its client sees it, less what the engine took of it."""
    rest: list[float] = []
    with running_service() as url, httpx.Client(base_url=url, timeout=70) as client:
        for number in range(rounds + 1):
            started = time.perf_counter()
            timings = client.post("/invocations", json={"prompt": _PROMPT, "seed": _SEED}).json()["timings"]
            seconds = time.perf_counter() - started
            if number:
                rest.append(seconds - timings["encode_s"] - timings["denoise_s"] - timings["decode_s"])
    return statistics.median(rest)


def void(_: object) -> None:
    """Drop a result."""


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
