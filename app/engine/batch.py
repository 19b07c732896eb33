"""One step's view of some rows: gathered, put through the model, scattered back."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from app.backends.base import Backend
from app.diffusion.guidance import apply_guidance
from app.diffusion.latents import draw_noise
from app.diffusion.steps import StepTable, StepWeights, step_rows
from app.engine.state import RequestState, Row


@dataclass(frozen=True)
class BatchKey:
    """Who may share a forward: rows of one loaded ROM, one latent shape and one length of conditioning."""

    backend: int  # identity of the loaded backend
    latent_shape: tuple[int, ...]
    conditioning_shape: tuple[int, ...]

    @classmethod
    def of(cls, state: RequestState) -> BatchKey:
        return cls(
            id(state.backend), tuple(state.rows[0].latents.shape), tuple(state.rows[0].conditioning.prompt_embeds.shape)
        )


@dataclass(frozen=True)
class StepOutput:
    """What one forward made of a batch, a line a row."""

    latents: torch.Tensor  # [B, C, h, w]
    denoised: torch.Tensor  # [B, C, h, w]


def run_step(rows: list[Row]) -> StepOutput:
    """Take every row one step on. A forward that fails has changed nothing; what is made of it waits for `scatter`."""
    latents = torch.stack([row.latents for row in rows])
    following, denoised = _step(rows, latents, _predict(rows, latents))
    for index, row in enumerate(rows):
        if row.canvas is not None:
            following[index] = row.canvas.keep(following[index], row.request.path.levels[row.step_index + 1])
    return StepOutput(following, denoised)


def scatter(rows: list[Row], output: StepOutput) -> None:
    for row, latents, denoised in zip(rows, output.latents, output.denoised, strict=True):
        row.latents, row.denoised, row.previous_denoised = latents, denoised, row.denoised
        row.step_index += 1


def _predict(rows: list[Row], latents: torch.Tensor) -> torch.Tensor:
    """Guided model output. A row whose step is guided is in the forward twice, another once."""
    backend: Backend = rows[0].request.backend
    device = latents.device
    scale = torch.tensor([row.request.path.input_scale(row.step_index) for row in rows], device=device)
    timestep = torch.tensor([row.request.path.timesteps[row.step_index] for row in rows], device=device)
    guided = [index for index, row in enumerate(rows) if row.is_guided]
    order = [*range(len(rows)), *guided]
    prompts = [row.conditioning for row in rows]
    prompts += [negative for index in guided if (negative := rows[index].request.negative) is not None]
    scaled = latents * scale[:, None, None, None]
    beside = [row.canvas.beside for row in rows if row.canvas is not None and row.canvas.beside is not None]
    if beside:  # all rows of such a denoiser have one
        scaled = torch.cat([scaled, torch.stack(beside)], dim=1)
    output = backend.predict(scaled[order], timestep[order], prompts)
    conditional, unconditional = output[: len(rows)], output[len(rows) :]
    if not guided:
        return conditional
    guidance = torch.tensor([rows[index].request.params.guidance_scale for index in guided], device=device)
    result = conditional.clone()
    result[guided] = apply_guidance(unconditional, conditional[guided], guidance)
    return result


def _step(rows: list[Row], latents: torch.Tensor, model_output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The next latents and the denoised estimate of each row: of tables all at once, of samplers one by one."""
    tabled = [index for index, row in enumerate(rows) if row.sampler is None]
    if len(tabled) == len(rows):
        return _step_tables(rows, latents, model_output)
    following, denoised = torch.empty_like(latents), torch.empty_like(latents)
    if tabled:
        stepped = _step_tables([rows[index] for index in tabled], latents[tabled], model_output[tabled])
        following[tabled], denoised[tabled] = stepped
    for index, row in enumerate(rows):
        if row.sampler is not None:
            following[index], denoised[index] = row.sampler.step(latents[index], model_output[index], row.generator)
    return following, denoised


def _step_tables(
    rows: list[Row], latents: torch.Tensor, model_output: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    paths = [(row.request.path, row.step_index) for row in rows]
    weights = [path.weights[index] for path, index in paths if isinstance(path, StepTable)]
    previous = torch.stack([row.denoised for row in rows])
    earlier = torch.stack([row.previous_denoised for row in rows])
    noise = torch.stack([_noise(row, step) for row, step in zip(rows, weights, strict=True)])
    return step_rows(latents, model_output, previous, earlier, noise, weights)


def _noise(row: Row, weights: StepWeights) -> torch.Tensor:
    """Fresh noise where the step adds some; the row's generator is left alone where it does not."""
    if weights.noise == 0.0:
        return torch.zeros_like(row.latents)
    channels, height, width = row.latents.shape
    return draw_noise((channels, height, width), row.generator).to(row.latents.device)
