"""A ROM as the service runs it: every ROM that it reads, of a public layout or ours, through its engine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import numpy as np

from app.backends.devices import prepare_cpu
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.core import Budget, GenerationParams, ResolvedParams
from app.engine.engine import Engine
from app.engine.state import EngineResult, RequestState
from app.errors import CartridgeError
from app.invoker.resolve import resolve
from app.invoker.runner import defaults_of
from app.roms.catalog import Catalog, Rom, lay_over_base, read_rom

_TIMEOUT_S = 86_400.0
_IN_FLIGHT = 32  # requests that the engine has at a time
_ROWS = 16  # of a forward
_OPTIONS = {"num_inference_steps": "--steps", "guidance_scale": "--guidance-scale"}  # as the command line names them


@dataclass(frozen=True)
class Sampling:
    """What of the default preset is changed; None keeps it."""

    num_inference_steps: int | None = None
    guidance_scale: float | None = None


@dataclass(frozen=True)
class Speed:
    """Medians of some images, each made alone, after one that does not count."""

    image_s: float  # from prompt to pixels
    step_s: float  # one image's forward, with guidance where the preset has it
    steps: int
    images: int


class RomUnusable(Exception):
    """The ROM cannot be read, loaded, or asked so."""


def _read(directory: Path) -> Rom:
    """A ROM; a LoRA with its base, which is beside it. Raises ManifestError."""
    rom = read_rom(directory)
    if rom.manifest.base is None:
        return rom
    base = directory.resolve().parent / rom.manifest.base
    return lay_over_base(rom, Catalog({base.name: read_rom(base)} if base.is_dir() else {}))


class Generator:
    """A loaded ROM and an engine. To be used in a `with`; leaving it frees the model."""

    def __init__(self, directory: Path, dtype: str = "auto") -> None:
        """Raises RomUnusable, with the reason in a line."""
        prepare_cpu(0)
        self._steps = _Steps()
        try:
            self.rom = _read(directory)
            self._backend = load_backend(self.rom, LoadOptions(dtype=dtype, cache_dir=Path("build/cache")))
        except CartridgeError as error:
            raise RomUnusable(f"ROM: {directory} cannot be loaded: {error.message}") from error
        self._defaults = defaults_of(self._backend)
        self._engine = Engine(max_batch_size=_ROWS, observer=self._steps)
        self._engine.start()

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._engine.close()
        self._backend.unload()

    def resolve(self, prompt: str, seed: int, sampling: Sampling) -> ResolvedParams:
        """What will be done. Raises RomUnusable where the ROM does not allow it."""
        asked = GenerationParams(
            prompt,
            seed=seed,
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
        )
        try:
            return resolve(asked, self.rom.manifest, self._defaults)[0]
        except CartridgeError as error:
            option = _OPTIONS.get(error.param or "", "ROM")
            raise RomUnusable(f"{option}: {error.message}") from error

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> list[np.ndarray]:
        """One image a prompt, uint8 [H, W, 3], each from its own seed. Raises RomUnusable where one fails."""
        images = []
        for start in range(0, len(prompts), _IN_FLIGHT):
            part = slice(start, start + _IN_FLIGHT)
            pairs = zip(prompts[part], seeds[part], strict=True)
            states = [self._submit(self.resolve(prompt, seed, sampling)) for prompt, seed in pairs]
            images += [self._result(state).images[0] for state in states]
        return images

    def speed(self, prompt: str, sampling: Sampling, rounds: int = 5) -> Speed:
        """Time `rounds` images, one after the other."""
        steps = self.resolve(prompt, 0, sampling).num_inference_steps
        self.timed(prompt, 0, sampling)
        self._steps.seconds.clear()
        seconds = [self.timed(prompt, 0, sampling)[1] for _ in range(rounds)]
        return Speed(statistics.median(seconds), statistics.median(self._steps.seconds), steps, rounds)

    def timed(self, prompt: str, seed: int, sampling: Sampling) -> tuple[np.ndarray, float]:
        """One image, uint8 [H, W, 3], and the seconds that it took."""
        params = self.resolve(prompt, seed, sampling)
        started = time.perf_counter()
        image = self._result(self._submit(params)).images[0]
        return image, time.perf_counter() - started

    def _submit(self, params: ResolvedParams) -> RequestState:
        try:
            return self._engine.submit(uuid4().hex, self.rom.id, params, self._backend, Budget(_TIMEOUT_S))
        except CartridgeError as error:
            raise RomUnusable(f"{self.rom.id}: {error.message}") from error

    def _result(self, state: RequestState) -> EngineResult:
        try:
            return state.future.result()
        except CartridgeError as error:
            raise RomUnusable(f"{self.rom.id}: {error.message}") from error


class _Steps:
    """What each forward took; called on the engine's thread."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def observe_step(self, rom_id: str, rows: int, seconds: float) -> None:
        self.seconds.append(seconds)
