"""The text tower: a CLIPTextModel that learns to read captions before any image is drawn.

Words bind slowly when only the U-Net's loss teaches them. So the tower is trained first, on what a caption says of its
scene: the positions after the end token serve as registers (Darcet et al. 2023), and every third of them must tell the
first object's place, shape, colour and size, the next ones the second object's, the last ones the background and the
layout. Afterwards the tower is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.captions import Caption, random_caption
from training.loop import Draw, LoopConfig, autocast, device, train
from training.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, SceneSpec, random_spec
from training.tokenizer import MAX_LENGTH

_UNSAID, _ABSENT = "unsaid", "absent"
_PLACES = ("middle", "left", "right", "top", "bottom", _ABSENT)
_LAYOUTS = ("1", "2", "3", "4", "left of", "above")
_OBJECT_CLASSES = (
    _PLACES,
    (*SHAPES, _ABSENT),
    (*COLOURS, _UNSAID, _ABSENT),
    (*SIZES, _UNSAID, _ABSENT),
)
_SCENE_CLASSES = ((*BACKGROUNDS, _UNSAID), _LAYOUTS)
_ROLES = (_OBJECT_CLASSES, _OBJECT_CLASSES, _SCENE_CLASSES)  # of the register at position p, by p % 3
_NO_REGISTER = -100  # cross entropy's mark for what does not count


@dataclass(frozen=True)
class TextEncoderConfig:
    loop: LoopConfig
    hidden_size: int = 192
    layers: int = 4


class Reader(nn.Module):
    """A text tower, and linear heads that read scenes off its states while it trains."""

    def __init__(self, tower: CLIPTextModel) -> None:
        super().__init__()
        self.tower = tower
        width = tower.config.hidden_size
        self.roles = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, len(names)) for names in classes) for classes in _ROLES
        )

    def forward(self, token_ids: torch.Tensor) -> list[torch.Tensor]:
        """Logits of every class group at every position of its role, each [B, positions, classes]."""
        states = self.tower(token_ids).last_hidden_state
        return [
            head(states[:, role :: len(_ROLES)])
            for role, heads in enumerate(self.roles)
            for head in heads  # type: ignore[attr-defined]
        ]


def train_text_encoder(config: TextEncoderConfig, tokenizer: CLIPTokenizer, directory: Path) -> CLIPTextModel:
    torch.manual_seed(config.loop.seed)
    reader = Reader(new_text_encoder(config, tokenizer)).to(device())
    train("text_encoder", reader, lambda draw: _loss(reader, tokenizer, draw), config.loop, directory)
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
    """Token ids [B, MAX_LENGTH], padded and cut as diffusers does it."""
    batch = tokenizer(texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    token_ids: torch.Tensor = batch.input_ids
    return token_ids.to(device())


def _loss(reader: Reader, tokenizer: CLIPTokenizer, draw: Draw) -> torch.Tensor:
    specs = [random_spec(draw.numpy) for _ in range(draw.batch_size)]
    captions = [random_caption(spec, draw.numpy) for spec in specs]
    targets = torch.tensor([_targets(spec, caption) for spec, caption in zip(specs, captions, strict=True)])
    token_ids = tokenize(tokenizer, [caption.text for caption in captions])
    is_register = (token_ids == tokenizer.eos_token_id).cumsum(1) > 1  # the padding repeats the end token
    with autocast():
        logits = reader(token_ids)
    roles = [role for role, classes in enumerate(_ROLES) for _ in classes]
    errors = [
        _read_error(group, target, is_register[:, role :: len(_ROLES)])
        for group, target, role in zip(logits, targets.to(device()).unbind(1), roles, strict=True)
    ]
    return torch.stack(errors).mean()


def _read_error(logits: torch.Tensor, target: torch.Tensor, is_register: torch.Tensor) -> torch.Tensor:
    """Cross entropy of [B, positions, classes] where there is a register, against one class a caption [B]."""
    classes = target[:, None].where(is_register, _NO_REGISTER)
    return F.cross_entropy(logits.float().flatten(0, 1), classes.flatten(), ignore_index=_NO_REGISTER)


def _targets(spec: SceneSpec, caption: Caption) -> list[int]:
    """Class indices, in the order of the heads: first object, second object, scene."""
    places = {"left of": ("left", "right"), "above": ("top", "bottom"), None: ("middle",)}[spec.relation]
    row: list[int] = []
    for index in range(2):
        if index >= len(spec.objects):
            values: tuple[str, ...] = (_ABSENT,) * 4
        else:
            item = spec.objects[index]
            colour = item.colour if caption.names_colours[index] else _UNSAID
            size = item.size if caption.names_sizes[index] else _UNSAID
            values = (places[index], item.shape, colour, size)
        row += [classes.index(value) for classes, value in zip(_OBJECT_CLASSES, values, strict=True)]
    background = spec.background if caption.names_background else _UNSAID
    layout = spec.relation or str(spec.count)
    return [*row, _SCENE_CLASSES[0].index(background), _LAYOUTS.index(layout)]
