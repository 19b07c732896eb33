"""The nouns. No behaviour beyond what a noun knows of itself; standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

OutputFormat = Literal["png", "jpeg", "webp"]
FinishReason = Literal["completed", "deadline"]
OnDeadline = Literal["partial", "degrade", "fail"]
Prompt = str | tuple[str, ...]  # several are answered in one response
Task = Literal["text-to-image", "image-to-image", "inpainting", "upscaling"]
Decoder = Literal["full", "tiny"]  # the ROM's autoencoder, or the small one that it may carry beside it
LongPrompts = Literal["truncate", "chunk"]  # what becomes of a prompt that the text encoder cannot read at once
RoutingMode = Literal["auto", "rules", "classifier", "similarity"]  # what tells the domain of a prompt
MaskMode = Literal["white", "alpha"]  # what is repainted: white pixels of the mask, or transparent ones
# tables in app.diffusion.tables
SCHEDULERS = ("ddim", "ddpm", "euler", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "lcm")
# Diffusers' classes whose own objects can step a row: they sample what is clean + noise, and draw from its generator.
# DPMSolverSDEScheduler draws from torchsde; the EDM and flow matching classes are for models of another kind.
ADAPTED_SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
# of a denoiser's step; what each does is told in docs/operations.md
OPTIMIZATIONS = (
    "tiled_attention",
    "prompt_keys_values",
    "split_geglu",
    "channels_last",
    "fused_qkv",
    "cuda_graphs",
    "compile",
)
MIME_TYPES: Mapping[str, OutputFormat] = {"image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp"}


def as_tuple(prompt: Prompt) -> tuple[str, ...]:
    return (prompt,) if isinstance(prompt, str) else prompt


class Health(StrEnum):
    """What `/ping` reports. READY alone answers 200."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    SETUP_FAILED = "setup_failed"
    DEVICE_FAILED = "device_failed"
    STALLED = "stalled"


@dataclass(frozen=True)
class Notice:
    """Something of a request that was changed, cut or left out, told to the caller as a warning."""

    code: str
    param: str
    detail: str


@dataclass(frozen=True)
class GenerationParams:
    """What was asked. None: the ROM's preset decides."""

    prompt: Prompt  # "" where there is none: an upscaler needs none
    negative_prompt: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    scheduler: str | None = None
    seed: int | None = None
    seeds: tuple[int, ...] | None = None
    width: int | None = None  # pixels
    height: int | None = None  # pixels
    num_images_per_prompt: int = 1  # of each prompt
    preset: str = "default"
    image: str | None = None  # base64 or a data URL
    mask_image: str | None = None  # likewise
    mask_mode: MaskMode = "white"
    strength: float | None = None  # above 0, up to 1: how much of the image is redrawn
    decoder: Decoder | None = None
    long_prompts: LongPrompts | None = None
    upscale: int | None = None  # what width and height of the images are multiplied by
    upscaler: str | None = None  # the ROM that does it

    @property
    def prompts(self) -> tuple[str, ...]:
        return as_tuple(self.prompt)

    @property
    def num_images(self) -> int:
        """Of all prompts."""
        return len(self.seeds) if self.seeds is not None else self.num_images_per_prompt * len(self.prompts)


@dataclass(frozen=True)
class OutputOptions:
    """How images travel. `compression` is 0-100: effort for PNG, quality for JPEG and WebP. None: the format's own."""

    format: OutputFormat = "png"
    compression: int | None = None


@dataclass(frozen=True)
class Budget:
    """How long a request may take, and what is to be done when that is not enough."""

    timeout_s: float
    on_deadline: OnDeadline = "partial"
    partial_share: float = 0.5  # of the steps: what a `partial` request must be able to expect to be accepted


@dataclass(frozen=True)
class RoutingOptions:
    """How the ROM is chosen where none is named."""

    mode: RoutingMode = "auto"  # all that there is
    candidates: tuple[str, ...] | None = None  # None: every ROM
    temperature: float = 0.0  # above 0: drawn by the scores over it, with the request's seed


@dataclass(frozen=True)
class GenerationRequest:
    """One request as it left the wire."""

    request_id: str
    params: GenerationParams
    model: str = "auto"
    routing: RoutingOptions = RoutingOptions()
    output: OutputOptions = field(default_factory=OutputOptions)
    timeout_s: float | None = None
    on_deadline: OnDeadline = "partial"
    stream: bool = False
    partial_images: int = 0  # previews of each image on the way, in a stream
    is_named: bool = False  # the caller chose request_id, so that a second one with it joins the first


@dataclass(frozen=True)
class ResolvedParams:
    """What will be done: every default filled in, every limit applied."""

    prompt: Prompt
    negative_prompt: str | None  # None: there is none, which some models tell from an empty one
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    seeds: tuple[int, ...]  # one an image: those of the first prompt, of the second, ...
    width: int  # pixels
    height: int  # pixels
    preset: str
    guidance_interval: tuple[float, float] = (0.0, 1.0)  # shares of the steps: guided from the one up to the other
    task: Task = "text-to-image"
    strength: float = 1.0  # 1 without an image
    decoder: Decoder = "full"
    long_prompts: LongPrompts = "truncate"
    upscale: int = 1  # what width and height are multiplied by afterwards
    upscaler: str | None = None  # the ROM that does it

    @property
    def prompts(self) -> tuple[str, ...]:
        """One an image."""
        prompts = as_tuple(self.prompt)
        return tuple(prompt for prompt in prompts for _ in range(len(self.seeds) // len(prompts)))

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self.guidance_scale > 1.0

    @property
    def denoising_steps(self) -> int:
        """Inference steps that are taken: the first ones are left out where an image is redrawn in part."""
        return int(self.num_inference_steps * self.strength)

    def is_guided(self, step: int) -> bool:
        """Whether this inference step, of those that are taken, has guidance."""
        start, stop = self.guidance_interval
        share = (self.num_inference_steps - self.denoising_steps + step) / self.num_inference_steps
        return self.do_classifier_free_guidance and start <= share < stop


@dataclass(frozen=True)
class RouteDecision:
    """Which ROM answers, and why. `scores` holds one entry for every ROM that was considered."""

    rom_id: str
    scores: Mapping[str, float]  # 0..1: likelihood and adeptness, less what the time costs; 0 for one that cannot
    reason: str
    resident: bool
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class RomScore:
    """What speaks for a ROM and against it; its score is log(likelihood * adeptness) - cost."""

    rom_id: str
    domain: str
    likelihood: float  # 0..1: that the prompt is of its domain
    adeptness: float  # 0..1: how often it draws right what is of its domain
    ready_s: float  # until it is in memory
    queue_s: float  # until the device has done what was accepted before
    run_s: float
    cost: float  # nats
    score: float  # nats
    obstacle: str  # why it cannot answer; empty: it can


@dataclass(frozen=True)
class RouteExplanation:
    """A decision with all that led to it."""

    decision: RouteDecision
    roms: tuple[RomScore, ...] = ()
    domains: Mapping[str, float] = field(default_factory=dict)  # 0..1 each, together 1
    out_of_domain: float | None = None  # 0..1; None: it was not asked
    sources: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # domains as each source alone has them
    rules: tuple[str, ...] = ()  # those that fired
    without_cost: str | None = None  # the ROM that it would have been, if time were no matter
    timeout_s: float = 0.0


@dataclass
class Timings:
    """One request's stopwatch, in seconds. `total_s` runs from arrival to the finished body."""

    queue_s: float = 0.0
    load_s: float = 0.0
    encode_s: float = 0.0
    denoise_s: float = 0.0
    decode_s: float = 0.0
    upscale_s: float = 0.0
    serialize_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True)
class GeneratedImage:
    """One encoded image."""

    data: bytes
    seed: int
    width: int  # pixels
    height: int  # pixels
    mime_type: str
    finish_reason: FinishReason = "completed"


@dataclass(frozen=True)
class GenerationResult:
    """What the caller is told."""

    request_id: str
    created: int  # Unix time, seconds
    images: tuple[GeneratedImage, ...]
    effective: ResolvedParams
    completed_steps: int
    route: RouteDecision
    timings: Timings
    notices: tuple[Notice, ...]
