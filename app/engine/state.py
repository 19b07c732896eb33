"""One request's life in the engine. The rows here are the only truth; a batch is a view of some of them."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import torch

from app.backends.base import Backend, Conditioning, Path, SampledPath, Sampler
from app.core import SCHEDULERS, Budget, FinishReason, Notice, ResolvedParams
from app.diffusion.latents import draw_noise, make_generator
from app.diffusion.steps import CLEAN
from app.diffusion.tables import make_table
from app.engine.canvas import Canvas, encode_source, start_canvas
from app.engine.costs import LaneCosts
from app.engine.embeddings import PromptEncoder
from app.engine.forecast import Demand
from app.engine.planner import Plan
from app.engine.upscaling import Upscaling
from app.errors import InvalidRequest
from app.imaging import Pixels, Source

MAX_CHUNKS = 4  # lengths of the text encoder that a long prompt is read in


class Listener(Protocol):
    """Who follows a request. Called on the engine's thread, so it must not wait."""

    def on_step(self, done: int, total: int) -> None:
        """Every image has taken `done` of `total` steps."""

    def on_preview(self, done: int, images: list[Pixels]) -> None:
        """What the images would look like; one of each."""

    def previews(self, total: int) -> frozenset[int]:
        """The steps, of `total`, after which a preview is wanted."""


@dataclass(eq=False)
class Row:
    """One image in the making."""

    request: RequestState
    conditioning: Conditioning
    generator: torch.Generator
    latents: torch.Tensor  # [C, h, w]
    denoised: torch.Tensor  # [C, h, w]: the clean image as the model last saw it
    previous_denoised: torch.Tensor  # [C, h, w]: as it saw it a step before
    step_index: int = 0
    canvas: Canvas | None = None  # None for text-to-image
    sampler: Sampler | None = None  # None where the scheduler is a table
    is_running: bool = False  # in the forward in progress

    @property
    def is_done(self) -> bool:
        return self.step_index == len(self.request.path)

    @property
    def is_guided(self) -> bool:
        """Whether its coming step takes two rows of a forward."""
        return self.request.params.is_guided(self.request.inference_step(self.step_index))

    @property
    def cost(self) -> int:
        """Rows of a forward that its coming step takes."""
        return 2 if self.is_guided else 1

    @property
    def estimate(self) -> torch.Tensor:
        """[C, h, w]: the clean image that its latents are heading for."""
        return self.denoised if self.canvas is None else self.canvas.keep(self.denoised, CLEAN)


@dataclass(frozen=True)
class EngineResult:
    """What the engine made of a request."""

    images: list[Pixels]  # one a seed
    finish_reason: FinishReason
    completed_steps: int
    notices: tuple[Notice, ...]
    queue_s: float
    encode_s: float
    denoise_s: float
    decode_s: float
    upscale_s: float = 0.0


@dataclass(eq=False)
class RequestState:
    # set by submit
    request_id: str
    rom_id: str
    params: ResolvedParams
    path: Path
    backend: Backend
    budget: Budget
    costs: LaneCosts
    submitted_at: float  # on the engine's clock, seconds
    listener: Listener | None = None
    source: Source | None = None
    upscaling: Upscaling | None = None
    upscale_costs: LaneCosts | None = None  # of one image; a step of one row is an image enlarged
    plan: Plan = field(default=Plan(0, 0.0, 0))
    is_cancelled: bool = False
    is_leaving: bool = False  # nothing but decoding is left
    future: Future[EngineResult] = field(default_factory=Future)
    # set by prepare
    conditionings: dict[str, Conditioning] = field(default_factory=dict)  # by prompt
    negative: Conditioning | None = None  # None without guidance
    rows: list[Row] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    started_at: float = math.inf  # when its first row entered a forward
    encode_s: float = 0.0

    @property
    def deadline(self) -> float:
        return self.submitted_at + self.budget.timeout_s

    @property
    def is_done(self) -> bool:
        return all(row.is_done for row in self.rows)

    @property
    def row_cost(self) -> int:
        """Rows of a forward that one image takes at most."""
        return 2 if self.params.do_classifier_free_guidance else 1

    @property
    def completed_steps(self) -> int:
        """Steps that every image has taken."""
        return min((row.step_index for row in self.rows), default=0)

    @property
    def begun_steps(self) -> int:
        """Steps that every image has taken once the forward in progress has ended."""
        return min((row.step_index + row.is_running for row in self.rows), default=0)

    @property
    def steps_left(self) -> int:
        """Of all images together."""
        return sum(len(self.path) - row.step_index for row in self.rows)

    @property
    def extra_steps(self) -> int:
        """Steps of its path beyond `stages` for each inference step; below 0 where they are fewer."""
        return len(self.path) - self.path.stages * self.params.denoising_steps

    def inference_step(self, step: int) -> int:
        """Which inference step, of those that are taken, a step of its path belongs to."""
        return max(0, step - max(0, self.extra_steps)) // self.path.stages

    @property
    def needed_steps(self) -> int:
        """Steps that must be expected to fit before the request is accepted."""
        share = self.budget.partial_share if self.budget.on_deadline == "partial" else 1.0
        return math.ceil(len(self.path) * share)

    @property
    def decode_s(self) -> float:
        """What decoding its images, and enlarging them, is expected to take at most."""
        return self.decode_on(self.costs)

    @property
    def preview_s(self) -> float:
        """What a preview of its images is expected to take at most."""
        has_decoder = "tiny" in self.backend.info.decoders  # otherwise it takes next to nothing
        return self.costs.decode["tiny"].upper_s * len(self.params.seeds) if has_decoder else 0.0

    def previews_after(self, step: int) -> int:
        """How many are wanted after that many steps and later."""
        return 0 if self.listener is None else sum(wanted >= step for wanted in self.listener.previews(len(self.path)))

    @property
    def coming_preview_s(self) -> float:
        """What a preview after the coming step is expected to take, where one is wanted."""
        seconds, coming = self.preview_s, self.completed_steps + 1
        return seconds * (self.previews_after(coming) - self.previews_after(coming + 1)) if seconds else 0.0

    def decode_on(self, lane: LaneCosts) -> float:
        """The same with the costs of another size."""
        enlarging_s = 0.0 if self.upscale_costs is None else self.upscale_costs.step.upper_s(1)
        return (lane.decode[self.params.decoder].upper_s + enlarging_s) * len(self.params.seeds)

    @property
    def source_images(self) -> int:
        """Images to encode: the one that is redrawn and, with a mask, what is kept of it."""
        return 0 if self.source is None else 1 if self.source.mask is None else 2

    @property
    def encodings(self) -> int:
        """Prompts to encode."""
        return len(set(self.params.prompts)) + self.params.do_classifier_free_guidance

    @property
    def expected_encode_s(self) -> float:
        """What encoding its prompts and images is expected to take at most."""
        return self.costs.encode.upper_s * self.encodings + self.costs.encode_image.upper_s * self.source_images

    def demand(self) -> Demand:
        """What is left to do once the forward in progress has ended."""
        images, begun = len(self.params.seeds), self.begun_steps
        return Demand(
            lane=self.costs,
            rows=images * self.row_cost,
            images=images,
            steps=0 if self.is_leaving else len(self.path) - begun,
            deadline=self.deadline,
            encode_s=0.0 if self.rows else self.expected_encode_s,
            strength=self.params.strength,
            decode_s=self.decode_s + self.preview_s * self.previews_after(begun + 1),
            stages=self.path.stages,
            extra_steps=self.extra_steps,
            ahead=sum(row.step_index + row.is_running > begun for row in self.rows),
        )

    @property
    def owed_steps(self) -> int:
        """What of its plan's promise is still to be done then."""
        return 0 if self.is_leaving else max(0, self.plan.promised_steps - self.begun_steps)


def latent_shape(params: ResolvedParams, backend: Backend) -> tuple[int, int, int]:
    """[C, h, w]"""
    info = backend.info
    return info.latent_channels, params.height // info.vae_scale_factor, params.width // info.vae_scale_factor


def lay_out_path(params: ResolvedParams, backend: Backend) -> Path:
    """A request's way through time. Raises InvalidRequest for a scheduler that cannot do what is asked."""
    info, steps = backend.info, params.num_inference_steps
    begin = steps - params.denoising_steps
    if params.scheduler in SCHEDULERS:
        return make_table(params.scheduler, info.noise_schedule, steps, begin)
    if info.scheduler_adapter is None:
        raise InvalidRequest(f"{params.scheduler} is not offered by this ROM", param="scheduler")
    return info.scheduler_adapter.lay_out(params.scheduler, steps, begin)


def encode_prompts(state: RequestState, encoder: PromptEncoder) -> None:
    """All of a request in one length, that of the longest, because they share forwards."""
    params, chunks = state.params, 1
    prompts = dict.fromkeys(params.prompts)
    if params.long_prompts == "chunk":
        negatives = [params.negative_prompt or ""] if params.do_classifier_free_guidance else []
        texts = [*prompts, *negatives]
        chunks = min(MAX_CHUNKS, max(state.backend.count_chunks(text) for text in texts))
    for prompt in prompts:
        state.conditionings[prompt] = _encode(state, encoder, "prompt", prompt, chunks)
    if params.do_classifier_free_guidance:
        state.negative = _encode(state, encoder, "negative_prompt", params.negative_prompt, chunks)


def lay_out_rows(state: RequestState) -> None:
    """Encode what is to be redrawn and draw the first latents of every row."""
    params, info = state.params, state.backend.info
    source = encode_source(state.backend, state.source, params.width, params.height) if state.source else None
    for prompt, seed in zip(params.prompts, params.seeds, strict=True):
        generator, canvas = make_generator(seed), None
        if source is None:
            noise = draw_noise(latent_shape(params, state.backend), generator).to(info.device)
            latents = noise * state.path.init_noise_sigma
        else:
            canvas, latents = start_canvas(state.backend, source, state.path, params.strength, generator)
        conditioning, nothing = state.conditionings[prompt], torch.zeros_like(latents)
        sampler = state.path.new_sampler() if isinstance(state.path, SampledPath) else None
        row = Row(state, conditioning, generator, latents, nothing, nothing, canvas=canvas, sampler=sampler)
        state.rows.append(row)


def _encode(state: RequestState, encoder: PromptEncoder, param: str, text: str | None, chunks: int) -> Conditioning:
    conditioning = encoder.encode(state.backend, text, chunks)
    if conditioning.truncated:
        dropped = conditioning.truncated
        shown = dropped if len(dropped) <= 500 else f"{dropped[:500]}... ({len(dropped)} characters)"
        state.notices.append(Notice("truncated", param, f"longer than the text encoder reads; dropped: {shown}"))
    return conditioning
