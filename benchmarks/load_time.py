"""`make bench-load`: how long it takes to have a model's weights in memory, and how much memory.

Files of full size with random weights are written to a temporary folder, and lie in the page cache when they are
read. Beside our loading stand `from_pretrained` of diffusers and transformers, and reading the bytes once: into one
small buffer (scan), and into memory of their size (read). A file that is mapped is not in memory before it is
touched: every page of all weights is touched within the time. Each measurement is a process of its own, which has
imported everything before, and loaded a text encoder, for what libraries make once; tokenizers and warm-up are not in
it. Memory is the growth of the resident set at its peak, over what the weights take in the end.
"""

from __future__ import annotations

import argparse
import json
import mmap
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from app.backends.weights import Placement, load_model
from benchmarks.architectures import ARCHITECTURES
from benchmarks.full_size import write_rom

_CLASSES: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "vae_tiny": AutoencoderTiny,
}
_READ_BYTES = 1024 * 1024
_SAMPLE_S = 0.002
_ROUNDS = 3
_GB = 1e9


@dataclass(frozen=True)
class Case:
    """A file's precision, and what it is loaded as."""

    model: str
    stored: str
    dtype: str
    is_channels_last: bool = False

    def __str__(self) -> str:
        layout = ", channels last" if self.is_channels_last else ""
        return f"{self.model} {self.stored} as {self.dtype}{layout}"


CASES = (
    Case("sd-v1-4", "float32", "float32"),
    Case("sd-v1-4", "float16", "float16"),
    Case("sdxl", "float16", "float16"),
    Case("sd-v1-4", "float32", "float32", is_channels_last=True),
    Case("sd-v1-4", "float16", "float16", is_channels_last=True),
    Case("sd-v1-4", "float16", "bfloat16", is_channels_last=True),
    Case("sdxl", "float16", "bfloat16", is_channels_last=True),
)


@dataclass(frozen=True)
class Loaded:
    seconds: float
    peak_bytes: int
    weights_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_time", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=ARCHITECTURES, default=["sd-v1-4", "sdxl"], metavar="NAME")
    parser.add_argument("--folder", type=Path, help="where files are written, and those that are there are used")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="the fastest of so many counts")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--rom", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, told = arguments.one.split(" ", 1)
        print(json.dumps(asdict(measure_here(kind, arguments.rom, Case(**json.loads(told))))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        print(f"{'seconds, the fastest':46} {'GB':>5}   scan   read   ours pretr.  ours/read  peak ours, pretr.")
        for case in CASES:
            if case.model in arguments.models:
                print_case(case, ensure(folder, case), arguments.rounds)


def print_case(case: Case, rom: Path, rounds: int) -> None:
    scan, read, ours, theirs = (
        min((measure(kind, rom, case) for _ in range(rounds)), key=lambda loaded: loaded.seconds) for kind in _KINDS
    )
    times = " ".join(f"{loaded.seconds:6.2f}" for loaded in (scan, read, ours, theirs))
    peaks = "     ".join(f"{loaded.peak_bytes / loaded.weights_bytes:4.2f}" for loaded in (ours, theirs))
    ratio = ours.seconds / read.seconds
    print(f"{case!s:46} {ours.weights_bytes / _GB:5.2f} {times}  {ratio:9.2f}       {peaks}", flush=True)


def ensure(folder: Path, case: Case) -> Path:
    rom = folder / f"{case.model}-{case.stored}"
    if not (rom / "model_index.json").exists():
        write_rom(ARCHITECTURES[case.model], rom, getattr(torch, case.stored))
    return rom


def measure(kind: str, rom: Path, case: Case) -> Loaded:
    """In a process of its own."""
    told = f"{kind} {json.dumps(asdict(case))}"
    program = [sys.executable, "-m", "benchmarks.load_time", "--rom", str(rom), "--one", told]
    output = subprocess.run(program, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return Loaded(**json.loads(output.splitlines()[-1]))


def measure_here(kind: str, rom: Path, case: Case) -> Loaded:
    transformers_logging.disable_progress_bar()
    CLIPTextModel.from_pretrained(rom / "text_encoder", local_files_only=True)
    run = _KINDS[kind]
    with Peak() as peak:
        started = time.perf_counter()
        models = list(run(rom, case))
        for model in models:
            _touch(model)
        seconds = time.perf_counter() - started
    weights = sum(weight.nbytes for model in models for weight in model.parameters())
    return Loaded(seconds, peak.grown_bytes, weights)


def _scan(rom: Path, case: Case) -> Iterator[Any]:
    buffer = bytearray(_READ_BYTES)
    for path in rom.glob("*/*.safetensors"):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    yield from ()


def _read(rom: Path, case: Case) -> Iterator[Any]:
    _held = [path.read_bytes() for path in rom.glob("*/*.safetensors")]
    yield from ()


def _load(rom: Path, case: Case) -> Iterator[Any]:
    for name, cls in _present(rom):
        layout = torch.channels_last if _is_laid_out(name, case) else torch.contiguous_format
        yield load_model(cls, rom / name, Placement(torch.device("cpu"), getattr(torch, case.dtype), layout))


def _load_pretrained(rom: Path, case: Case) -> Iterator[Any]:
    for name, cls in _present(rom):
        model = cls.from_pretrained(
            rom / name, dtype=getattr(torch, case.dtype), use_safetensors=True, local_files_only=True
        )
        yield model.to(memory_format=torch.channels_last) if _is_laid_out(name, case) else model


def _present(rom: Path) -> Iterator[tuple[str, Any]]:
    return ((name, cls) for name, cls in _CLASSES.items() if (rom / name).is_dir())


def _is_laid_out(name: str, case: Case) -> bool:
    return case.is_channels_last and not name.startswith("text")


_KINDS: dict[str, Callable[[Path, Case], Iterator[Any]]] = {
    "scan": _scan,
    "read": _read,
    "ours": _load,
    "pretrained": _load_pretrained,
}


def _touch(model: Any) -> None:
    """Read a value of every page."""
    for weight in model.parameters():
        count = weight.numel()
        weight.detach().as_strided((count,), (1,))[:: max(1, mmap.PAGESIZE // weight.element_size())].sum().item()


class Peak:
    """By how much the resident set grew at most, looked at every few milliseconds."""

    grown_bytes = 0

    def __enter__(self) -> Peak:
        self._done, self._before = threading.Event(), _resident_bytes()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.grown_bytes = max(self.grown_bytes, _resident_bytes() - self._before)

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self.grown_bytes = max(self.grown_bytes, _resident_bytes() - self._before)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


if __name__ == "__main__":
    main()
