"""The ROM `clip`: an image and a text tower that agree where a caption fits a picture (Radford et al. 2021).

Two losses over one learnt temperature. Pictures against captions is InfoNCE, where every caption of the batch that is
another picture's is wrong, and so is each picture's own caption with one thing told wrongly (`training/negatives.py`).
Pictures against short prompts, one for every value of an attribute, is the same loss with labels in place of pairs
(UniCL, Yang et al. 2022): within a batch many pictures show a star, and `a star` is true of all of them. A third loss
asks the image tower's patches for the attributes; it begins alone (`training/attribute_heads.py`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from app.backends.clip import Clip, image_processor
from app.roms.manifest import RomManifest
from evaluation.metrics.zero_shot import accuracies
from evaluation.readings import readings_sheet
from training.attribute_heads import SIGHT, Beholder, attribute_error, scale_pictures, train_sight
from training.contrastive_batch import ContrastiveBatches, PromptGroup
from training.domains.domain import Domain
from training.export import plot_losses, write_rom
from training.loop import Draw, LoopConfig, autocast, device, train
from training.tokenizer import MAX_LENGTH, learn_merges
from training.vae import to_tensor

_CURVE = "clip"
_TEMPERATURE = 0.07  # at the start
_POSITION_SCALE = 0.5
_LARGEST_SCALE = math.log(100)


@dataclass(frozen=True)
class TowerConfig:
    """One transformer; the heads are 32 wide."""

    hidden_size: int
    layers: int

    def document(self) -> dict[str, int]:
        """As transformers' configs name it."""
        return {
            "hidden_size": self.hidden_size,
            "intermediate_size": 4 * self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": max(1, self.hidden_size // 32),
        }


@dataclass(frozen=True)
class ClipRecipe:
    """How the ROM is made: `make` trains it and writes it, `smoke` is the same with next to no work."""

    loop: LoopConfig
    sight: LoopConfig  # before that, of the image tower alone
    domains: tuple[Domain[Any], ...]
    tested_domains: tuple[Domain[Any], ...]
    manifest: RomManifest
    vision: TowerConfig = field(default=TowerConfig(128, 4))
    text: TowerConfig = field(default=TowerConfig(128, 3))
    projection_dim: int = 128
    image_size: int = 64  # pixels, square, that pictures are scaled to
    patch_size: int = 8  # pixels
    captions: int = 20_000  # that the tokenizer learns from
    scenes: int = 8000  # of each domain, drawn once
    prompt_weight: float = 1.0
    sight_weight: float = 1.0
    tested_scenes: int = 512  # of each domain, for the accuracies

    def make(self, work: Path, store: Path) -> None:
        """Train, or go on from the checkpoint in `work`, and write the ROM below `store`."""
        work.mkdir(parents=True, exist_ok=True)
        tokenizer = learn_merges(self._texts(), work)
        model = train_clip(self, tokenizer, work)
        clip = Clip(model, tokenizer, image_processor(self.image_size))
        self._test(clip, work / "zero_shot.json")
        losses, samples = work / "loss.png", work / "samples.png"
        plot_losses({name: work / f"{name}.csv" for name in (SIGHT, _CURVE)}, losses)
        readings_sheet(clip, self.tested_domains).save(samples)
        store.mkdir(parents=True, exist_ok=True)
        save = partial(_save, model, tokenizer, self.image_size)
        write_rom(save, self.manifest, store / self.manifest.id, [losses, samples])
        print(f"{store / self.manifest.id} is written")

    def smoke(self) -> ClipRecipe:
        return replace(
            self,
            loop=self.loop.smoke(),
            sight=self.sight.smoke(),
            scenes=16,
            vision=TowerConfig(32, 1),
            text=TowerConfig(32, 1),
            projection_dim=16,
            captions=500,
            tested_scenes=8,
        )

    def _texts(self) -> list[str]:
        """Captions of each domain in turn."""
        rng = np.random.default_rng((self.loop.seed, 2))
        chosen = [self.domains[index % len(self.domains)] for index in range(self.captions)]
        return [domain.caption(domain.random_spec(rng), rng) for domain in chosen]

    def _test(self, clip: Clip, path: Path) -> None:
        """Accuracies on images that training never shows: of all kinds, and of what it holds out."""
        tested = {domain.name: domain for domain in self.domains}
        tested |= {f"{domain.name}, held out": domain for domain in self.tested_domains}
        found = {name: accuracies(clip, domain, self.tested_scenes) for name, domain in tested.items()}
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        for name, parts in found.items():
            print(f"{name}: " + ", ".join(f"{attribute} {share:.1%}" for attribute, share in parts.items()))


def train_clip(recipe: ClipRecipe, tokenizer: CLIPTokenizer, directory: Path) -> CLIPModel:
    torch.manual_seed(recipe.loop.seed)
    model = new_clip(recipe, tokenizer).to(device())
    batches = ContrastiveBatches(recipe.domains, recipe.scenes, recipe.loop.seed)
    beholder = train_sight(Beholder(model, batches).to(device()), recipe.sight, batches, directory)

    def loss(draw: Draw) -> torch.Tensor:
        batch = batches.draw(draw)
        with autocast():
            pixels = scale_pictures(to_tensor(batch.images), recipe.image_size)
            images, logits = beholder(pixels)
            texts = embed_texts(model, tokenizer, batch.captions + batch.negatives)
            prompts = embed_texts(model, tokenizer, [text for group in batch.groups for text in group.prompts])
        scale = model.logit_scale.clamp(max=_LARGEST_SCALE).exp()
        own = info_nce(images, texts, scale)
        own = own + recipe.prompt_weight * _prompt_loss(images, prompts, scale, batch.groups)
        return own + recipe.sight_weight * attribute_error(logits, batch.shown)

    trained: Any = train(_CURVE, beholder, loss, recipe.loop, directory)
    return trained.clip.eval().requires_grad_(False)


def new_clip(recipe: ClipRecipe, tokenizer: CLIPTokenizer) -> CLIPModel:
    text = {
        **recipe.text.document(),
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**recipe.vision.document(), "image_size": recipe.image_size, "patch_size": recipe.patch_size}
    config = CLIPConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=recipe.projection_dim,
        logit_scale_init_value=math.log(1 / _TEMPERATURE),
        attn_implementation="eager",  # faster than fused attention where gradients run on a CPU
    )
    model = CLIPModel(config)
    positions = model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        positions[1:] = _POSITION_SCALE * sincos_positions(recipe.image_size // recipe.patch_size, positions.shape[1])
    return model


def sincos_positions(side: int, size: int) -> torch.Tensor:
    """Sines and cosines of the row and the column of each patch, [side * side, size] (Beyer et al. 2022).

    The tower learns them further. From random ones it took many times as long to learn where things are.
    """
    frequencies = 100.0 ** -(torch.arange(size // 4) / (size // 4))
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [places.flatten()[:, None] * frequencies for places in (rows, columns)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def embed_texts(model: CLIPModel, tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Unit vectors [B, projection_dim]; texts are padded to the longest of them only."""
    batch = tokenizer(texts, padding=True, max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    states = model.text_model(input_ids=batch.input_ids.to(device())).pooler_output
    return F.normalize(model.text_projection(states).float(), dim=-1)


def info_nce(images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """InfoNCE of B pictures [B, D] and texts [B + N, D]: text b is of picture b, the last N are of none.

    Pictures choose among all texts, texts of pictures among the pictures; the mean of both.
    """
    logits = scale * images @ texts.T
    target = torch.arange(len(images), device=images.device)
    by_text = logits[:, : len(images)].T
    return (F.cross_entropy(logits, target) + F.cross_entropy(by_text, target)) / 2


def _prompt_loss(
    images: torch.Tensor, prompts: torch.Tensor, scale: torch.Tensor, groups: list[PromptGroup]
) -> torch.Tensor:
    """Cross entropy of pictures [B, D] over each group's prompts (all of them in `prompts` [P, D]), mean of groups."""
    parts = torch.split(prompts, [len(group.prompts) for group in groups])
    errors = [
        F.cross_entropy(scale * images @ part.T, torch.tensor(group.targets, device=images.device))
        for part, group in zip(parts, groups, strict=True)
    ]
    return torch.stack(errors).mean()


def _save(model: CLIPModel, tokenizer: CLIPTokenizer, size: int, folder: Path) -> None:
    model.to(dtype=torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor(size).save_pretrained(folder)
