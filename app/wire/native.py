"""The native dialect of `POST /invocations`: diffusers' names, unknown fields refused by name."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from app.core import (
    Decoder,
    GenerationParams,
    GenerationRequest,
    GenerationResult,
    LongPrompts,
    MaskMode,
    OnDeadline,
    OutputFormat,
    OutputOptions,
)
from app.errors import CartridgeError, InvalidRequest, Overloaded, UndecodableRequest
from app.wire.routing import Routing, describe_decision

MAX_SEED = 2**63 - 1
MAX_PROMPT_CHARACTERS = 200_000
MAX_PROMPTS = 256
Share = Annotated[float, Field(ge=0, le=1)]
OnePrompt = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
ALIASES = {
    "uncond_prompt": "negative_prompt",
    "rom": "model",
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "n": "num_images_per_prompt",
    "inputs": "prompt",
    "init_image": "image",
}


class InvocationRequest(BaseModel):
    """What a caller may send, after aliases. Its JSON schema is what `/info` shows."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    prompt: OnePrompt | Annotated[list[OnePrompt], Field(min_length=1, max_length=MAX_PROMPTS)] | None = None
    negative_prompt: str | None = Field(default=None, max_length=MAX_PROMPT_CHARACTERS)
    model: str = Field(default="auto", min_length=1)
    num_inference_steps: int | None = Field(default=None, ge=1)
    guidance_scale: float | None = Field(default=None, ge=0, le=50)
    guidance_interval: list[Share] | None = Field(default=None, min_length=2, max_length=2)
    scheduler: str | None = Field(default=None, min_length=1)
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    seeds: list[int] | None = Field(default=None, min_length=1)
    width: int | None = Field(default=None, ge=8)
    height: int | None = Field(default=None, ge=8)
    num_images_per_prompt: int = Field(default=1, ge=1)
    preset: str = "default"
    routing: Routing = Field(default=Routing())
    image: str | None = Field(default=None, min_length=1)
    mask_image: str | None = Field(default=None, min_length=1)
    mask_mode: MaskMode = "white"
    strength: float | None = Field(default=None, gt=0, le=1)
    decoder: Decoder | None = None
    long_prompts: LongPrompts | None = None
    upscale: int | None = Field(default=None, ge=2, le=16)
    upscaler: str | None = Field(default=None, min_length=1)
    output_format: OutputFormat = "png"
    output_compression: int | None = Field(default=None, ge=0, le=100)
    timeout_s: float | None = Field(default=None, gt=0)
    on_deadline: OnDeadline = "partial"
    stream: bool = False
    partial_images: int = Field(default=0, ge=0, le=16)
    request_id: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[!-~]([ -~]*[!-~])?$")

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str | list[str] | None) -> str | list[str] | None:
        if prompt is not None and not all(one.strip() for one in ([prompt] if isinstance(prompt, str) else prompt)):
            raise ValueError("must not be empty")
        return prompt

    @field_validator("guidance_interval")
    @classmethod
    def _starts_before_it_stops(cls, interval: list[float] | None) -> list[float] | None:
        if interval and interval[0] >= interval[1]:
            raise ValueError("must start before it stops")
        return interval

    @field_validator("seeds")
    @classmethod
    def _seeds_in_range(cls, seeds: list[int] | None) -> list[int] | None:
        if seeds and not all(0 <= seed <= MAX_SEED for seed in seeds):
            raise ValueError(f"each must be 0 to {MAX_SEED}")
        return seeds


def decode_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises UndecodableRequest; NaN and Infinity are no JSON."""
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair could not be sent back
    except (ValueError, RecursionError) as error:
        raise UndecodableRequest(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UndecodableRequest("the body must be a JSON object")
    return content


def parse_request(content: dict[str, Any], request_id: str) -> GenerationRequest:
    """A request from its JSON object. `request_id` counts where the body names none.

    Raises InvalidRequest whose `param` is the field as the caller spelled it.
    """
    spelled = _flatten(content)
    canonical: dict[str, Any] = {}
    for name, value in spelled.items():
        field = ALIASES.get(name, name)
        if field in canonical:
            raise InvalidRequest(f"{field!r} is given twice, under two names", param=name)
        canonical[field] = value
    try:
        body = InvocationRequest.model_validate(canonical)
    except ValidationError as error:
        raise _first_problem(error, spelled) from error
    if body.prompt is None and body.image is None:
        raise InvalidRequest("prompt: Field required", param="prompt")
    if body.seed is not None and body.seeds is not None:
        raise InvalidRequest("give either seed or seeds", param="seeds")
    images = body.num_images_per_prompt * (len(body.prompt) if isinstance(body.prompt, list) else 1)
    if body.seeds is not None and body.num_images_per_prompt != 1 and images != len(body.seeds):
        raise InvalidRequest(f"does not match the {len(body.seeds)} seeds", param="num_images_per_prompt")
    if body.mask_mode != "white" and body.mask_image is None:
        raise InvalidRequest("is of no use without a mask_image", param="mask_mode")
    if body.partial_images and not body.stream:
        raise InvalidRequest("only a stream has partial images", param="partial_images")
    if body.upscaler is not None and body.upscale is None:
        raise InvalidRequest("is of no use without upscale", param="upscaler")
    return _to_core(body, request_id)


def render_result(result: GenerationResult) -> bytes:
    """The JSON response, encoded."""
    content = {
        "id": result.request_id,
        "created": result.created,
        "model": result.route.rom_id,
        "images": [
            {
                "b64_json": base64.b64encode(image.data).decode("ascii"),
                "seed": image.seed,
                "width": image.width,
                "height": image.height,
                "mime_type": image.mime_type,
                "finish_reason": image.finish_reason,
            }
            for image in result.images
        ],
        "effective": {**asdict(result.effective), "completed_steps": result.completed_steps},
        "routing": describe_decision(result.route),
        "timings": {name: round(seconds, 6) for name, seconds in asdict(result.timings).items()},
        "warnings": [asdict(notice) for notice in result.notices],
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def render_error(error: CartridgeError, request_id: str) -> dict[str, Any]:
    """The one error shape of all routes. `fits` is there where smaller parameters could be accepted now."""
    content: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "type": type(error).__name__,
        "param": error.param,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if isinstance(error, Overloaded) and error.fits is not None:
        content["fits"] = {name: value for name, value in asdict(error.fits).items() if value is not None}
    return {"error": content}


def _flatten(content: dict[str, Any]) -> dict[str, Any]:
    """Hugging Face's `{"inputs": ..., "parameters": {...}}` as one flat object."""
    parameters = content.get("parameters")
    if "inputs" not in content or parameters is None:
        return content
    if not isinstance(parameters, dict):
        raise InvalidRequest("must be an object", param="parameters")
    outer = {name: value for name, value in content.items() if name != "parameters"}
    for name in parameters.keys() & outer.keys():
        raise InvalidRequest(f"{name!r} is given twice, inside and outside parameters", param=name)
    return {**outer, **parameters}


def _first_problem(error: ValidationError, spelled: dict[str, Any]) -> InvalidRequest:
    problems = error.errors(include_url=False)
    # a wrong name before what is missing because of it
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    field = str(first["loc"][0])
    if field == "routing" and len(first["loc"]) > 1:
        return _routing_problem(first)
    if first["type"] == "extra_forbidden":
        known = ", ".join(InvocationRequest.model_fields)
        return InvalidRequest(f"unknown field {field[:80]!r}; known: {known}", param=field[:80])
    name = next((name for name in spelled if ALIASES.get(name, name) == field), field)
    message = first["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"{name}: {message}", param=name)


def _routing_problem(problem: ErrorDetails) -> InvalidRequest:
    name = ".".join(map(str, problem["loc"]))[:80]
    if problem["type"] == "extra_forbidden":
        return InvalidRequest(f"unknown field {name!r}; known: {', '.join(Routing.model_fields)}", param=name)
    return InvalidRequest(f"{name}: {problem['msg']}", param=name)


def _to_core(body: InvocationRequest, request_id: str) -> GenerationRequest:
    params = GenerationParams(
        prompt=tuple(body.prompt) if isinstance(body.prompt, list) else body.prompt or "",
        negative_prompt=body.negative_prompt,
        num_inference_steps=body.num_inference_steps,
        guidance_scale=body.guidance_scale,
        guidance_interval=(body.guidance_interval[0], body.guidance_interval[1]) if body.guidance_interval else None,
        scheduler=body.scheduler,
        seed=body.seed,
        seeds=tuple(body.seeds) if body.seeds is not None else None,
        width=body.width,
        height=body.height,
        num_images_per_prompt=body.num_images_per_prompt,
        preset=body.preset,
        image=body.image,
        mask_image=body.mask_image,
        mask_mode=body.mask_mode,
        strength=body.strength,
        decoder=body.decoder,
        long_prompts=body.long_prompts,
        upscale=body.upscale,
        upscaler=body.upscaler,
    )
    return GenerationRequest(
        request_id=body.request_id or request_id,
        params=params,
        model=body.model,
        routing=body.routing.to_core(),
        output=OutputOptions(body.output_format, body.output_compression),
        timeout_s=body.timeout_s,
        on_deadline=body.on_deadline,
        stream=body.stream,
        partial_images=body.partial_images,
        is_named=body.request_id is not None,
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
