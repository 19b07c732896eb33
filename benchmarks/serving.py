"""`make bench-engine`: our service against plain diffusers behind a lock and against LitServe, over HTTP, in one run.

A closed loop gives images a second and latency, an open loop the time from a request's arrival to its first step.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.backends.devices import pick_dtype
from app.roms.catalog import read_rom
from app.roms.manifest import Preset
from app.settings import read_settings
from benchmarks.load import (
    REFUSALS,
    Arrival,
    Sample,
    closed_loop,
    image_requests,
    open_loop,
    percentile,
    poisson_arrivals,
)
from benchmarks.quiet import QUIET_CORES, Measured, measure_quietly
from benchmarks.servers import LITSERVE, OURS, SERIAL, ImageRequest, Server, started_servers

_GOALS = {(1, SERIAL): 1.0, (1, LITSERVE): 1.0, (8, SERIAL): 2.2, (8, LITSERVE): 1.2}  # on two cores
_CAPACITY_CLIENTS = 8
_LOADS = (0.7, 1.2)  # of our capacity
_MIXED_STEPS = (10, 15, 20, 25, 30)
_MIN_PSNR_DB = 40.0  # between images of one request: precisions and batches change the last bits
_SEED = 7


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    clients: tuple[int, ...] = (1, 2, 4, 8, 16)
    rounds: int = 2
    requests: int = 24  # in a round
    arrivals: int = 80
    attempts: int = 3  # at a sample that others disturb


QUICK = Plan(clients=(1, 8), rounds=1, requests=8, arrivals=12, attempts=1)


@dataclass(frozen=True)
class Cell:
    """All samples of one server under one load."""

    samples: tuple[Measured[Sample], ...]

    @property
    def images_per_s(self) -> float:
        return len(self.latencies) / sum(sample.value.seconds for sample in self.samples)

    @property
    def latencies(self) -> list[float]:
        return [answer.latency_s for sample in self.samples for answer in sample.value.images]

    @property
    def first_steps(self) -> list[float]:
        return [answer.first_step_s for sample in self.samples for answer in sample.value.images]

    @property
    def statuses(self) -> list[int]:
        return [answer.status for sample in self.samples for answer in sample.value.answers]

    @property
    def mark(self) -> str:
        return " " if all(sample.is_quiet for sample in self.samples) else "!"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("rom", type=Path, metavar="ROM_DIR")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--requests", type=int, default=Plan.requests, help="of a server at a level in a round")
    parser.add_argument("--arrivals", type=int, default=Plan.arrivals, help="requests of an open loop")
    parser.add_argument("--quick", action="store_true", help="a few requests only, to try it")
    arguments = parser.parse_args()
    plan = Plan(rounds=arguments.rounds, requests=arguments.requests, arrivals=arguments.arrivals)
    rom = read_rom(arguments.rom)
    run(rom.directory, rom.manifest.presets["default"], QUICK if arguments.quick else plan)


def run(rom: Path, preset: Preset, plan: Plan) -> None:
    print(machine())
    with started_servers(rom) as servers:
        check_images(servers, preset)
        closed = measure_closed(servers, preset, plan)
        print(closed_table(closed, preset, plan), flush=True)
        capacity = closed[_CAPACITY_CLIENTS, OURS].images_per_s
        opened = measure_open(servers, preset, plan, capacity)
        print(open_table(opened, plan, capacity))


def check_images(servers: Sequence[Server], preset: Preset) -> None:
    """Every server must draw in a crowd what ours draws alone. Raises SystemExit."""
    requests = image_requests(preset, 8, steps=(preset.num_inference_steps, 10))
    alone = pixels_of(servers[0], requests, clients=1)
    for server in servers:
        difference = pixels_of(server, requests, clients=len(requests)) - alone
        worst = int(np.abs(difference).max())
        psnr = 10 * np.log10(255**2 / np.square(difference, dtype=np.float64).mean()) if worst else np.inf
        print(f"{server.name}: 8 at once against ours one by one: {psnr:.0f} dB, at most {worst} of 255 levels")
        if psnr < _MIN_PSNR_DB:
            raise SystemExit(f"{server.name} draws other images than ours")


def pixels_of(server: Server, requests: Sequence[ImageRequest], clients: int) -> np.ndarray:
    """[N, H, W, 3]. Raises SystemExit when the server has no image for one of them."""
    with server.awake():
        sample = closed_loop(server, requests, clients)
    if len(sample.images) < len(requests):
        statuses = sorted({answer.status for answer in sample.answers})
        raise SystemExit(f"{server.name} does not draw every image; statuses: {statuses}")
    return np.stack([np.asarray(Image.open(io.BytesIO(answer.png)), np.int16) for answer in sample.answers])


def measure_closed(servers: Sequence[Server], preset: Preset, plan: Plan) -> dict[tuple[int, str], Cell]:
    """By number of clients and server. In every round another server is first."""
    requests = image_requests(preset, plan.requests, steps=(preset.num_inference_steps,))
    cells: dict[tuple[int, str], Cell] = {}
    for clients in plan.clients:
        samples: dict[str, list[Measured[Sample]]] = {server.name: [] for server in servers}
        for number in range(plan.rounds):
            first = number % len(servers)
            for server in [*servers[first:], *servers[:first]]:
                with server.awake():
                    sample = measure_quietly(partial(closed_loop, server, requests, clients), plan.attempts)
                samples[server.name].append(sample)
        cells |= {(clients, name): Cell(tuple(part)) for name, part in samples.items()}
    return cells


def measure_open(
    servers: Sequence[Server], preset: Preset, plan: Plan, capacity: float
) -> dict[tuple[float, str], Cell]:
    """By share of `capacity` (images a second) and server."""
    cells: dict[tuple[float, str], Cell] = {}
    for load in _LOADS:
        arrivals = mixed_arrivals(preset, plan.arrivals, load * capacity)
        for server in servers:
            with server.awake():
                sample = measure_quietly(partial(open_loop, server, arrivals), plan.attempts)
            cells[load, server.name] = Cell((sample,))
    return cells


def mixed_arrivals(preset: Preset, count: int, rate: float) -> list[Arrival]:
    """The same for every server: steps as people ask for them, so that LitServe finds some alike."""
    steps = random.Random(_SEED).choices(_MIXED_STEPS, k=count)
    return poisson_arrivals(image_requests(preset, count, steps), rate, _SEED)


def machine() -> str:
    cores, dtype = len(os.sched_getaffinity(0)), pick_dtype(read_settings().dtype, torch.device("cpu"))
    return f"machine: {cores} x {cpu_name()}, torch {version('torch')}; ours in {dtype}, the peers in torch.float32"


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def closed_table(cells: dict[tuple[int, str], Cell], preset: Preset, plan: Plan) -> str:
    lines = [
        "",
        f"closed loop: {preset.num_inference_steps} steps, {plan.rounds} x {plan.requests} images a line; "
        f"! others used more than {QUIET_CORES:g} of a core",
        "clients  server     images/s   p50 s   p95 s   ours/it    goal",
    ]
    for (clients, name), cell in cells.items():
        p50, p95 = (percentile(cell.latencies, rank) for rank in (50, 95))
        line = f"{clients:7}  {name:9} {cell.images_per_s:9.2f}{cell.mark}{p50:8.2f}{p95:8.2f}"
        if name != OURS:
            goal = _GOALS.get((clients, name))
            ratio = cells[clients, OURS].images_per_s / cell.images_per_s
            line += f"{ratio:10.2f}" + (f"{goal:8.1f}" if goal else "")
        if missing := len(cell.statuses) - len(cell.latencies):
            line += f"  {missing} without an image"
        lines.append(line)
    return "\n".join(lines)


def open_table(cells: dict[tuple[float, str], Cell], plan: Plan, capacity: float) -> str:
    lines = [
        "",
        f"open loop: the same {plan.arrivals} Poisson arrivals for all, {_MIXED_STEPS[0]} to {_MIXED_STEPS[-1]} steps; "
        f"capacity is ours with {_CAPACITY_CLIENTS} clients, {capacity:.2f} images/s",
        "                    first step       answer",
        "   load  server     p50 s   p99 s   p50 s   p99 s  images  refused  failed",
    ]
    for (load, name), cell in cells.items():
        first = [percentile(cell.first_steps, rank) for rank in (50, 99)]
        whole = [percentile(cell.latencies, rank) for rank in (50, 99)]
        seconds = "".join(f"{value:8.2f}" for value in (*first, *whole))
        images = len(cell.latencies)
        refused = sum(status in REFUSALS for status in cell.statuses)
        failed = len(cell.statuses) - images - refused
        lines.append(f"{load:7.1f}{cell.mark} {name:8}{seconds}{images:8}{refused:9}{failed:8}")
    lines.append("The first step of ours is as the service reports it: queue_s + load_s + encode_s.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
