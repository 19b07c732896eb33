"""The training loop that every recipe shares: learning-rate schedule, EMA, progress, checkpoints, resume."""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from app.backends.devices import cpu_multiplies_bfloat16

LossFunction = Callable[["Draw"], torch.Tensor]
_LOG_EVERY_STEPS = 20


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast one stage trains.

    The rate warms up linearly, stays, and falls to zero as a cosine over the last `decay_share` of the steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 100
    decay_share: float = 1.0
    weight_decay: float = 0.01
    ema_decay: float = 0.0  # 0 keeps no moving average
    checkpoint_every_s: float = 120.0
    seed: int = 0

    def smoke(self) -> LoopConfig:
        """Next to no work."""
        return replace(self, steps=3, batch_size=8, warmup_steps=1)


@dataclass(frozen=True)
class Draw:
    """The randomness of one step: of the seed and the step alone, so that a resumed run repeats an unbroken one."""

    step: int
    batch_size: int
    numpy: np.random.Generator
    torch: torch.Generator


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it in hardware, float32 elsewhere."""
    enabled = device().type == "cuda" or cpu_multiplies_bfloat16()
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=enabled)


def train(name: str, model: nn.Module, loss_of: LossFunction, config: LoopConfig, directory: Path) -> nn.Module:
    """Minimise `loss_of(draw)` over the trainable parameters of `model`; return the model, or its moving average.

    A checkpoint under `directory` is resumed. Losses go to `<name>.csv` there, with the seconds that the run has taken,
    those before it was resumed too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=True,
    )
    average = copy.deepcopy(model).requires_grad_(False) if config.ema_decay else None
    checkpoint = directory / f"{name}.ckpt"
    past = _load(checkpoint, model, average, optimizer)
    history, recent = past.history, list[float]()
    saved_at = time.monotonic()
    started_at = saved_at - past.seconds
    with tqdm(total=config.steps, initial=past.steps, desc=name, unit="it", dynamic_ncols=True) as progress:
        for step in range(past.steps, config.steps):
            recent.append(_take_step(step, model, average, optimizer, loss_of, config))
            if (step + 1) % _LOG_EVERY_STEPS == 0:
                history.append((step + 1, fmean(recent), round(time.monotonic() - started_at, 1)))
                progress.set_postfix(loss=f"{history[-1][1]:.4f}", refresh=False)
                recent.clear()
            progress.update()
            if time.monotonic() - saved_at > config.checkpoint_every_s or step + 1 == config.steps:
                saved_at = time.monotonic()
                _save(checkpoint, _Past(step + 1, saved_at - started_at, history), model, average, optimizer)
    _write_curve(directory / f"{name}.csv", history)
    return average if average is not None else model


def _take_step(
    step: int,
    model: nn.Module,
    average: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    loss_of: LossFunction,
    config: LoopConfig,
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * _rate(step, config)
    loss = loss_of(_draw(config, step))
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if average is not None:
        _update(average, model, min(config.ema_decay, (1 + step) / (10 + step)))
    return float(loss.detach())


def _rate(step: int, config: LoopConfig) -> float:
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    decay = config.decay_share * (config.steps - config.warmup_steps)
    done = max(0.0, 1 - (config.steps - step) / decay)
    return 0.5 * (1 + math.cos(math.pi * done))


def _draw(config: LoopConfig, step: int) -> Draw:
    rng = np.random.default_rng((config.seed, 1000, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return Draw(step, config.batch_size, rng, generator)


@torch.no_grad()
def _update(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


@dataclass(frozen=True)
class _Past:
    """What of a run is done."""

    steps: int
    seconds: float
    history: list[tuple[int, float, float]]  # step, mean loss since the last of these, seconds


def _load(path: Path, model: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer) -> _Past:
    if not path.exists():
        return _Past(0, 0.0, [])
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if average is not None:
        average.load_state_dict(state["average"])
    return _Past(**state["past"])


def _save(
    path: Path, past: _Past, model: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer
) -> None:
    state = {"past": asdict(past), "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    if average is not None:
        state["average"] = average.state_dict()
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _write_curve(path: Path, history: list[tuple[int, float, float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "seconds"))
        writer.writerows(history)
