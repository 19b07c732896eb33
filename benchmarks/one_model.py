"""One model in a process of its own: what a step and a picture take, of diffusers' pipeline or of our engine."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from app.backends.base import Backend
from app.backends.devices import prepare_cpu
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.core import Budget, Decoder, ResolvedParams
from app.engine.engine import Engine
from app.imaging import Pixels
from app.roms.catalog import read_rom

PLAIN, TORCH, OPENVINO = "plain", "torch", "openvino"
_GUIDANCE = 7.5


@dataclass(frozen=True)
class Task:
    """What is made, and how."""

    kind: str  # PLAIN, TORCH, OPENVINO
    rom: str  # directory
    steps: int = 4
    size: int = 512  # pixels, square; 0: the model's own
    guidance_stop: float = 1.0  # share of the steps that have guidance
    decoder: Decoder = "tiny"
    optimizations: str = "auto"  # names, separated by commas
    dtype: str = "auto"
    prompt: str = "a lighthouse on a cliff at dusk, oil on canvas"


@dataclass(frozen=True)
class Measured:
    load_s: float
    step_s: float  # the fastest step with guidance
    picture_s: float  # from prompt to pixels; of diffusers, to latents
    peak_bytes: int  # of the process


class Steps:
    """A StepObserver that keeps what each forward took."""

    def __init__(self) -> None:
        self.seconds: list[tuple[int, float]] = []

    def observe_step(self, rom_id: str, rows: int, seconds: float) -> None:
        self.seconds.append((rows, seconds))

    def fastest(self) -> float:
        """Of those with as many rows as the first."""
        return min(seconds for rows, seconds in self.seconds if rows == self.seconds[0][0])


def measure(task: Task) -> Measured:
    """Run it in a new process, so that none leaves memory or threads to the next."""
    command = [sys.executable, "-m", "benchmarks.one_model", json.dumps(asdict(task))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{task} failed: {done.stderr.strip()[-500:]}")
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def run_plain(task: Task) -> Measured:
    started = time.perf_counter()
    pipeline = DiffusionPipeline.from_pretrained(
        task.rom, dtype=torch.float32, local_files_only=True, safety_checker=None
    )
    pipeline.set_progress_bar_config(disable=True)
    loaded = time.perf_counter()
    ends: list[float] = []

    def note(_: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        ends.append(time.perf_counter())
        return values

    pipeline(
        task.prompt,
        num_inference_steps=task.steps,
        guidance_scale=_GUIDANCE,
        height=task.size,
        width=task.size,
        output_type="latent",
        callback_on_step_end=note,
    )
    steps = [end - start for start, end in pairwise(ends)]
    return Measured(loaded - started, min(steps), time.perf_counter() - loaded, _peak_bytes())


def run_ours(task: Task) -> Measured:
    prepare_cpu(0)
    started = time.perf_counter()
    backend = load_backend(read_rom(Path(task.rom)), options_of(task))
    load_s = time.perf_counter() - started
    made = make_picture(backend, task)
    return Measured(load_s, made.step_s, made.picture_s, _peak_bytes())


@dataclass(frozen=True)
class Made:
    step_s: float  # the fastest with as many rows as the first
    picture_s: float
    pixels: Pixels


def make_picture(backend: Backend, task: Task) -> Made:
    """One request through an engine."""
    steps = Steps()
    engine = Engine(max_batch_size=16, observer=steps)
    engine.start()
    params = ResolvedParams(
        prompt=task.prompt,
        negative_prompt=None,
        num_inference_steps=task.steps,
        guidance_scale=_GUIDANCE,
        scheduler=backend.info.default_scheduler,
        seeds=(7,),
        width=task.size or backend.info.default_size,
        height=task.size or backend.info.default_size,
        preset="default",
        guidance_interval=(0.0, task.guidance_stop),
        decoder=task.decoder,
    )
    started = time.perf_counter()
    result = engine.submit("bench", "rom", params, backend, Budget(3600)).future.result()
    picture_s = time.perf_counter() - started
    engine.close()
    return Made(steps.fastest(), picture_s, result.images[0])


def options_of(task: Task) -> LoadOptions:
    if task.kind == OPENVINO:
        return LoadOptions("cpu", task.dtype, runtime="openvino", cache_dir=Path("build"))
    named = None if task.optimizations == "auto" else tuple(filter(None, task.optimizations.split(",")))
    return LoadOptions("cpu", task.dtype, named)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_model", description=__doc__)
    parser.add_argument("task", help="a Task as JSON", type=json.loads)
    asked = Task(**parser.parse_args().task)
    print(json.dumps(asdict(run_plain(asked) if asked.kind == PLAIN else run_ours(asked))))
