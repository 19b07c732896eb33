"""`make bench-switch`: how long until another ROM is ready: on disk, equal to one in memory, resident, or parked.

The ROM is of the size of SD 1.5 with random weights, in float16 as such models are published. It is loaded in
processes of their own: with its files in the page cache, and after their pages were dropped from it. Ready means with
its tokenizer and warmed up; `make bench-load` measures the weights alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from app.backends.devices import pick_device, prepare_cpu
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.registry import foretell_parts, load_backend
from app.model_cache import ModelCache
from app.residency import Footprint
from app.roms.catalog import Rom, read_rom
from benchmarks.load_time import Case, ensure

_CASE = Case("sd-v1-4", "float16", "float16")
_ROUNDS = 100


@dataclass(frozen=True)
class Switches:
    load_s: float  # from the files
    share_s: float  # a ROM with the same weights
    lease_s: float  # between two that are resident
    resume_s: float | None  # None: there is no GPU


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.switch", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the ROM is written, and used if it is there")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(asdict(measure_here(read_rom(arguments.one)))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        rom = ensure(arguments.folder or Path(temporary), _CASE)
        cached = measure(rom)
        _drop_pages(rom)
        cold = measure(rom)
    print(f"disk -> ready                 {cold.load_s:9.3f} s")
    print(f"page cache -> ready           {cached.load_s:9.3f} s")
    print(f"equal to a resident -> ready  {cached.share_s:9.3f} s")
    print(f"resident -> resident          {cached.lease_s * 1e6:9.1f} us")
    print(f"host -> device                {'no GPU' if cached.resume_s is None else f'{cached.resume_s:9.3f} s'}")


def measure(rom: Path) -> Switches:
    """In a process of its own."""
    program = [sys.executable, "-m", "benchmarks.switch", "--one", str(rom)]
    output = subprocess.run(program, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return Switches(**json.loads(output.splitlines()[-1]))


def measure_here(rom: Rom) -> Switches:
    import app.backends.stable_diffusion  # noqa: F401 - so that the first load does not wait for it

    prepare_cpu(0)
    pool, options = ComponentPool(), LoadOptions()
    cache = ModelCache(
        lambda rom: load_backend(rom, options, pool),
        lambda rom: Footprint(foretell_parts(rom, options, pool)),
        capacity_bytes=sys.maxsize,
    )
    other = replace(rom, manifest=rom.manifest.model_copy(update={"id": "other"}))
    load_s, share_s = _lease(cache, rom), _lease(cache, other)
    lease_s = sum(_lease(cache, one) for _ in range(_ROUNDS) for one in (rom, other)) / _ROUNDS / 2
    cache.unload_idle()
    return Switches(load_s, share_s, lease_s, _resume(rom, options))


def _lease(cache: ModelCache, rom: Rom) -> float:
    started = time.perf_counter()
    with cache.lease(rom, timeout_s=600):
        return time.perf_counter() - started


def _resume(rom: Rom, options: LoadOptions) -> float | None:
    if pick_device(options.device).type != "cuda":
        return None
    backend = load_backend(rom, options)
    backend.park()
    torch.cuda.synchronize()
    started = time.perf_counter()
    backend.resume()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _drop_pages(rom: Path) -> None:
    """The kernel forgets what it has of the files."""
    for path in rom.glob("*/*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
