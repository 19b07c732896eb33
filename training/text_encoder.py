"""The text tower: a CLIPTextModel that learns to read captions before any image is drawn.

Words bind slowly when only the U-Net's loss teaches them. So the tower is trained first, on what a caption says of its
image: the positions after the end token serve as registers (Darcet et al. 2023), whose roles take turns, and each of
them must answer the questions of its role. In `shapes` every third register tells the first object's place, shape,
colour and size, the next ones the second object's, the last ones the background and the layout. Afterwards the tower is
frozen.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.domains.domain import ReadableDomain, Roles
from training.loop import Draw, LoopConfig, autocast, device, train
from training.tokenizer import MAX_LENGTH

_NO_REGISTER = -100  # cross entropy's mark for what does not count


@dataclass(frozen=True)
class TextEncoderConfig:
    loop: LoopConfig
    widen_loop: LoopConfig | None = None  # afterwards, on captions of the domain's relatives too
    hidden_size: int = 192
    layers: int = 4
    anchor_weight: float = 5.0

    def smoke(self) -> TextEncoderConfig:
        return replace(self, loop=self.loop.smoke(), widen_loop=self.widen_loop and self.widen_loop.smoke())


class Reader(nn.Module):
    """A text tower, and linear heads that read answers off its states while it trains."""

    def __init__(self, tower: CLIPTextModel, roles: Roles) -> None:
        super().__init__()
        tower.set_attn_implementation("eager")  # faster than fused where gradients run on a CPU
        self.tower = tower
        width = tower.config.hidden_size
        self.roles = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, len(answers)) for answers in questions) for questions in roles
        )

    def forward(self, token_ids: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """States [B, tokens, width]; logits of every question where its role is, each [B, positions, answers]."""
        states = self.tower(token_ids).last_hidden_state
        return states, [
            head(states[:, role :: len(self.roles)])
            for role, heads in enumerate(self.roles)
            for head in heads  # type: ignore[attr-defined]
        ]


def train_text_encoder(
    config: TextEncoderConfig, domain: ReadableDomain[Any], tokenizer: CLIPTokenizer, directory: Path
) -> CLIPTextModel:
    torch.manual_seed(config.loop.seed)
    reader = Reader(new_text_encoder(config, tokenizer), domain.roles).to(device())
    train("text_encoder", reader, lambda draw: _read(reader, domain, tokenizer, draw).loss, config.loop, directory)
    return reader.tower.eval().requires_grad_(False)


def widen_text_encoder(
    config: TextEncoderConfig,
    domains: tuple[ReadableDomain[Any], ...],
    tokenizer: CLIPTokenizer,
    tower: CLIPTextModel,
    directory: Path,
) -> CLIPTextModel:
    """Learn to read the first domain's relatives too, while the states of its own captions stay where they are.

    So a denoiser that listens to the tower can listen to the wider one.
    """
    assert config.widen_loop is not None
    torch.manual_seed(config.loop.seed)
    reader = Reader(copy.deepcopy(tower).requires_grad_(True).train(), domains[0].roles).to(device())

    def loss(draw: Draw) -> torch.Tensor:
        own, *others = (_read(reader, domain, tokenizer, draw) for domain in domains)
        with torch.no_grad(), autocast():
            anchors = tower(own.token_ids).last_hidden_state.float()
        reading = torch.stack([read.loss for read in (own, *others)]).mean()
        return reading + config.anchor_weight * F.mse_loss(own.states.float(), anchors)

    train("wide_text_encoder", reader, loss, config.widen_loop, directory)
    return reader.tower.eval().requires_grad_(False)


def new_text_encoder(config: TextEncoderConfig, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            projection_dim=config.hidden_size,
            intermediate_size=config.hidden_size * 3,
            num_hidden_layers=config.layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids [B, tokens], padded and cut to what the tokenizer's model reads, as diffusers does it."""
    batch = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    token_ids: torch.Tensor = batch.input_ids
    return token_ids.to(device())


class _Read(NamedTuple):
    loss: torch.Tensor
    token_ids: torch.Tensor
    states: torch.Tensor


def _read(reader: Reader, domain: ReadableDomain[Any], tokenizer: CLIPTokenizer, draw: Draw) -> _Read:
    specs = [domain.random_spec(draw.numpy) for _ in range(draw.batch_size)]
    readings = [domain.read(spec, draw.numpy) for spec in specs]
    questions = [(role, answers) for role, group in enumerate(domain.roles) for answers in group]
    targets = torch.tensor(
        [
            [answers.index(answer) for (_, answers), answer in zip(questions, reading.answers, strict=True)]
            for reading in readings
        ]
    )
    token_ids = tokenize(tokenizer, [reading.text for reading in readings])
    is_register = (token_ids == tokenizer.eos_token_id).cumsum(1) > 1  # the padding repeats the end token
    with autocast():
        states, logits = reader(token_ids)
    errors = [
        _read_error(group, target, is_register[:, role :: len(domain.roles)])
        for group, target, (role, _) in zip(logits, targets.to(device()).unbind(1), questions, strict=True)
    ]
    return _Read(torch.stack(errors).mean(), token_ids, states)


def _read_error(logits: torch.Tensor, target: torch.Tensor, is_register: torch.Tensor) -> torch.Tensor:
    """Cross entropy of [B, positions, classes] where there is a register, against one class a caption [B]."""
    classes = target[:, None].where(is_register, _NO_REGISTER)
    return F.cross_entropy(logits.float().flatten(0, 1), classes.flatten(), ignore_index=_NO_REGISTER)
