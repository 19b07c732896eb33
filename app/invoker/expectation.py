"""How long a request would take on each ROM, from what has run here and from what the files tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from app.core import GenerationParams
from app.invoker.supply import Supply
from app.roms.catalog import Rom
from app.roms.traits import Traits

if TYPE_CHECKING:
    from app.engine.costs import Pace
    from app.engine.outlook import Outlook

_PARAMETER_PRIOR_S = 1e-11  # for each row, latent cell and parameter of the denoiser
_DECODE_STEPS = 3.0  # that decoding an image takes, before it was seen
_USUAL_SIDE = 512  # pixels
_PIXEL_PRIOR_S = 1e-6  # of an upscaler, for each pixel that it makes


@dataclass(frozen=True)
class Expectation:
    """Seconds."""

    ready_s: float  # until the ROM's files are here and it is in memory
    queue_s: float  # until the device has done what was accepted before
    run_s: float


class Expectations:
    """As things are at one moment."""

    def __init__(self, supply: Supply, outlook: Outlook, roms: Mapping[str, tuple[Rom, Traits]]) -> None:
        self._supply = supply
        self._outlook = outlook
        self._roms = roms  # that may be asked about, by id
        paced = [rom_id for rom_id in outlook.paces if rom_id in roms and roms[rom_id][1].denoiser_parameters]
        steps = [outlook.paces[rom_id].step_s / roms[rom_id][1].denoiser_parameters for rom_id in paced]
        self._parameter_s = median(steps) if steps else _PARAMETER_PRIOR_S

    def of(self, rom: Rom, params: GenerationParams) -> Expectation:
        return Expectation(self._supply.expected_s(rom), self._outlook.queue_s, self._run_s(rom, params))

    def _run_s(self, rom: Rom, params: GenerationParams) -> float:
        preset = rom.manifest.preset(params.preset) or rom.manifest.presets["default"]
        traits = self._roms[rom.id][1]
        side = traits.side or _USUAL_SIDE
        width, height = params.width or preset.width or side, params.height or preset.height or side
        if rom.is_upscaler:
            return _PIXEL_PRIOR_S * width * height * max(rom.factors) ** 2
        guidance = preset.guidance_scale if params.guidance_scale is None else params.guidance_scale
        rows = params.num_images * (2 if guidance > 1 else 1)
        steps = params.num_inference_steps or preset.num_inference_steps
        cells = width * height / traits.scale_factor**2
        step_s, decode_s = self._pace(rom, traits)
        return cells * (rows * steps * step_s + params.num_images * decode_s)

    def _pace(self, rom: Rom, traits: Traits) -> tuple[float, float]:
        """Seconds a latent cell, of a row's step and of decoding an image: as seen, or by a twin, or by its size."""
        if pace := self._outlook.paces.get(rom.id):
            return pace.step_s, pace.decode_s
        if (expected := rom.manifest.expected.speed_ratio) is not None and (twin := self._twin(rom)) is not None:
            pace, ratio = twin
            return pace.step_s * ratio / expected, pace.decode_s
        step_s = self._parameter_s * traits.denoiser_parameters
        return step_s, step_s * _DECODE_STEPS

    def _twin(self, rom: Rom) -> tuple[Pace, float] | None:
        """The pace of a ROM of the same domain that has run, and its speed ratio."""
        for rom_id, pace in self._outlook.paces.items():
            twin = self._roms[rom_id][0].manifest if rom_id in self._roms else None
            if twin is not None and twin.domain_name == rom.manifest.domain_name and twin.expected.speed_ratio:
                return pace, twin.expected.speed_ratio
        return None
