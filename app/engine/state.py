"""One request's life in the engine. The rows here are the only truth; a batch is a view of some of them."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch

from app.backends.base import Backend
from app.core import Notice, ResolvedParams
from app.diffusion.latents import draw_noise, make_generator
from app.diffusion.steps import StepTable, make_table
from app.imaging import Pixels


@dataclass(eq=False)
class Row:
    """One image in the making."""

    request: RequestState
    generator: torch.Generator
    latents: torch.Tensor  # [C, h, w]
    denoised: torch.Tensor  # [C, h, w]: the clean image as the model last saw it
    step_index: int = 0

    @property
    def is_done(self) -> bool:
        return self.step_index == len(self.request.table)


@dataclass(frozen=True)
class EngineResult:
    """What the engine made of a request."""

    images: list[Pixels]  # one a seed
    notices: tuple[Notice, ...]
    queue_s: float
    encode_s: float
    denoise_s: float
    decode_s: float


@dataclass(eq=False)
class RequestState:
    # set by submit
    request_id: str
    rom_id: str
    params: ResolvedParams
    backend: Backend
    deadline: float  # on the engine's clock, seconds
    submitted_at: float
    future: Future[EngineResult] = field(default_factory=Future)
    # set by prepare
    table: StepTable = field(default=StepTable((), (), 1.0))
    prompt_embeds: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # [L, D]
    negative_prompt_embeds: torch.Tensor | None = None  # [L, D]; None without guidance
    rows: list[Row] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    started_at: float = 0.0
    encode_s: float = 0.0

    @property
    def is_done(self) -> bool:
        return all(row.is_done for row in self.rows)


def prepare(state: RequestState, now: float) -> None:
    """Encode the prompts, lay out the schedule and draw the first latents of every row."""
    params, info = state.params, state.backend.info
    state.started_at = now
    started = time.perf_counter()
    state.prompt_embeds = _encode(state, "prompt", params.prompt)
    if params.do_classifier_free_guidance:
        state.negative_prompt_embeds = _encode(state, "negative_prompt", params.negative_prompt)
    state.table = make_table(params.scheduler, info.noise_schedule, params.num_inference_steps)
    shape = (info.latent_channels, params.height // info.vae_scale_factor, params.width // info.vae_scale_factor)
    for seed in params.seeds:
        generator = make_generator(seed)
        latents = (draw_noise(shape, generator) * state.table.init_noise_sigma).to(info.device)
        state.rows.append(Row(state, generator, latents, torch.zeros_like(latents)))
    state.encode_s = time.perf_counter() - started


def _encode(state: RequestState, param: str, text: str) -> torch.Tensor:
    conditioning = state.backend.encode_prompt(text)
    if conditioning.truncated:
        dropped = conditioning.truncated
        shown = dropped if len(dropped) <= 500 else f"{dropped[:500]}... ({len(dropped)} characters)"
        state.notices.append(Notice("truncated", param, f"longer than the text encoder reads; dropped: {shown}"))
    return conditioning.prompt_embeds
