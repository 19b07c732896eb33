"""The waist between engine and models: values in, values out.

Guidance lives in `app.diffusion`, and so do the schedulers that are tables. Others are `Sampler`s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from app.core import Decoder
from app.diffusion.schedules import NoiseSchedule
from app.diffusion.steps import NoiseLevel, StepTable
from app.roms.memory import MemoryModel


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One prompt as the denoiser reads it."""

    prompt_embeds: torch.Tensor  # [L, D]
    pooled_embeds: torch.Tensor | None = None  # [P]: the prompt as a whole, for families that read it so too
    keys_values: tuple[torch.Tensor, ...] = ()  # [2, L, C] of each cross attention, where they are computed beforehand
    truncated: str = ""  # what of the prompt did not fit

    @property
    def nbytes(self) -> int:
        tensors = (self.prompt_embeds, *self.keys_values)
        pooled = 0 if self.pooled_embeds is None else self.pooled_embeds.nbytes
        return sum(tensor.nbytes for tensor in tensors) + pooled + len(self.truncated)


@dataclass(frozen=True)
class EncodedImage:
    """What an autoencoder makes of one image: a Gaussian over latents, scaled for the denoiser."""

    mean: torch.Tensor  # [C, h, w]
    std: torch.Tensor | None = None  # [C, h, w]; None: the latents are the mean, and nothing is drawn


class Sampler(Protocol):
    """One row's own scheduler, where that is no table. It remembers the steps that it has taken."""

    def step(
        self,
        latents: torch.Tensor,  # [C, h, w]
        model_output: torch.Tensor,  # [C, h, w]
        generator: torch.Generator,  # the row's own
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next latents and the clean image as the model sees it, both [C, h, w]."""


@dataclass(frozen=True)
class SampledPath:
    """What a `StepTable` is, of a scheduler that is no table: each row walks it with a sampler of its own."""

    timesteps: tuple[float, ...]
    input_scales: tuple[float, ...]  # one a step
    init_noise_sigma: float
    levels: tuple[NoiseLevel, ...]
    stages: int
    new_sampler: Callable[[], Sampler]

    def __len__(self) -> int:
        return len(self.timesteps)

    def input_scale(self, step: int) -> float:
        return self.input_scales[step]


Path = StepTable | SampledPath


class SchedulerAdapter(Protocol):
    """Schedulers that are no tables, by the names of diffusers' classes."""

    def lay_out(self, scheduler: str, num_inference_steps: int, begin: int) -> SampledPath:
        """The inference steps from number `begin` on. Raises InvalidRequest for one that cannot do it."""


@dataclass(frozen=True)
class BackendInfo:
    """What the engine and the catalog need to know of a loaded family."""

    latent_channels: int
    denoiser_channels: int  # that `predict` takes: more than the latents' where it also sees a mask and what it hides
    vae_scale_factor: int  # pixels a latent cell
    default_size: int  # pixels, square
    default_scheduler: str  # a table, or one that `scheduler_adapter` knows
    unoffered_scheduler: str | None  # why what its files ask for cannot be, where default_scheduler stands in for it
    noise_schedule: NoiseSchedule
    device: torch.device
    parts: Mapping[str, int]  # bytes of the weights in memory, by a key that equal parts of other ROMs have too
    memory: MemoryModel
    cell_step_prior_s: float  # prior: time of a forward, for each row and latent cell
    decoders: tuple[Decoder, ...] = ("full",)
    scheduler_adapter: SchedulerAdapter | None = None  # None: tables are all there is

    @property
    def nbytes(self) -> int:
        return sum(self.parts.values())

    @property
    def is_inpainting(self) -> bool:
        """Whether the denoiser sees, beside the latents, the mask and the latents of what it leaves."""
        return self.denoiser_channels == 2 * self.latent_channels + 1


@dataclass(frozen=True)
class UpscalerInfo:
    """What the engine and the catalog need to know of a loaded upscaler."""

    factors: tuple[int, ...]  # that it enlarges width and height by
    device: torch.device
    parts: Mapping[str, int]  # as BackendInfo has them
    pixel_prior_s: float  # prior: time for each pixel of the enlarged image
    num_inference_steps: int = 0  # 0: it is one forward, and reads neither prompt nor seed
    guidance_scale: float = 1.0

    @property
    def nbytes(self) -> int:
        return sum(self.parts.values())


class ModelInfo(Protocol):
    @property
    def parts(self) -> Mapping[str, int]:
        """Bytes of the weights in memory, by a key that equal parts of other ROMs have too."""

    @property
    def nbytes(self) -> int:
        """Of the weights in memory."""


class LoadedModel(Protocol):
    """What a ROM is in memory: a Backend or an Upscaler."""

    @property
    def info(self) -> ModelInfo:
        """What is known of it."""

    def park(self) -> None:
        """Keep the weights in the host's memory, and none on a GPU; nothing is computed until `resume`."""

    def resume(self) -> None:
        """Bring the weights back to the GPU."""

    def unload(self) -> None:
        """Let go of the weights; the object is of no use afterwards."""


class Backend(LoadedModel, Protocol):
    """A loaded model family that makes images. One thread calls it at a time."""

    info: BackendInfo

    def count_chunks(self, prompt: str) -> int:
        """How many times the text encoder's length it takes to read all of the prompt, at least 1."""

    def encode_prompt(self, prompt: str | None, chunks: int = 1) -> Conditioning:
        """Embed a prompt, or that there is none, in `chunks` lengths of the text encoder.

        What does not fit comes back as `truncated`.
        """

    def encode_image(self, image: torch.Tensor) -> EncodedImage:
        """RGB in -1..1, float32 [3, H, W], to latents."""

    def predict(
        self,
        latents: torch.Tensor,  # [B, denoiser_channels, h, w], scaled for the model
        timestep: torch.Tensor,  # [B], training steps
        prompts: Sequence[Conditioning],  # B, all of one length
    ) -> torch.Tensor:
        """The denoiser's raw output, float32 [B, latent_channels, h, w]."""

    def decode(
        self, latents: torch.Tensor, *, decoder: Decoder = "full", upcast: bool = False, tiled: bool = False
    ) -> torch.Tensor:
        """Latents [B, C, h, w] to RGB in -1..1, float32 [B, 3, H, W].

        `upcast` computes in float32; `tiled` a part of the picture at a time, in less memory and not quite the same.
        """


class Embedder(LoadedModel, Protocol):
    """A loaded model of pictures and texts. It computes on the CPU, in any thread."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float64 [N, D]."""

    def images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Unit vectors, float64 [N, D], of RGB pictures of any size, uint8 [H, W, 3] each."""


@dataclass(frozen=True)
class Guide:
    """What an upscaler that draws what is missing goes by; others do without it."""

    prompt: str
    seed: int


class Upscaler(LoadedModel, Protocol):
    """A loaded model that enlarges images. One thread calls it at a time."""

    info: UpscalerInfo

    def needed_bytes(self, height: int, width: int, factor: int) -> int:
        """Memory that enlarging an image of so many pixels a side takes at most, beside the weights."""

    def upscale(
        self,
        image: torch.Tensor,  # [3, H, W], RGB in -1..1
        factor: int,  # one of info.factors
        guide: Guide,
        on_piece: Callable[[], None],  # called between pieces of the work; what it raises ends it
    ) -> torch.Tensor:
        """float32 [3, factor H, factor W], RGB in about -1..1."""
