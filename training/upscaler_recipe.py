"""The ROM of an upscaler: trained, judged against bicubic, shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from app.backends.srresnet import SRResNet, enlarge_bicubic
from app.engine.pictures import to_pixels
from app.roms.manifest import INDEX_NAME, RomManifest
from evaluation.sheet import contact_sheet
from training.drawing import draw_scene
from training.export import plot_losses, write_rom
from training.upscaler import Score, UpscalerConfig, evaluate, reduce, soften, train_upscaler, unseen_scenes
from training.vae import to_tensor

_PIPELINE = {"_class_name": "SRResNetPipeline", "upscaler": ["cartridge", "SRResNet"]}


@dataclass(frozen=True)
class UpscalerRecipe:
    """One network that enlarges 2 and 4 times."""

    manifest: RomManifest
    config: UpscalerConfig
    judged_scenes: int = 64

    def make(self, work: Path, store: Path) -> None:
        """Train what `work` does not hold yet, judge it, and write the ROM below `store`."""
        model = train_upscaler(self.config, work)
        model = model.half().float()  # as the ROM has it
        scores = evaluate(model, self.config.loop.seed, self.judged_scenes)
        print(table(scores))
        (work / "scores.md").write_text(table(scores), encoding="utf-8")
        samples, losses = work / "samples.png", work / "loss.png"
        save_samples(model, self.config.loop.seed, samples)
        plot_losses({"upscaler": work / "upscaler.csv"}, losses)
        store.mkdir(parents=True, exist_ok=True)
        write_rom(partial(_save, model), self.manifest, store / self.manifest.id, [samples, losses])
        print(f"{store / self.manifest.id} is written")

    def smoke(self) -> UpscalerRecipe:
        """The same with next to no work in it, in under a minute."""
        loop = replace(self.config.loop.smoke(), batch_size=2)
        config = replace(self.config, loop=loop, scenes=((2, 256),), channels=8, num_blocks=2)
        return replace(self, config=config, judged_scenes=4)


def table(scores: list[Score]) -> str:
    """Markdown."""
    lines = ["| enlarged | small images | bicubic, dB | upscaler, dB | gain, dB |", "|---|---|---|---|---|"]
    for score in scores:
        kind = "blurred, with noise" if score.is_soft else "reduced"
        sizes = f"{score.side} to {score.side * score.factor}"
        gain = score.upscaler - score.bicubic
        lines.append(f"| {sizes} | {kind} | {score.bicubic:.2f} | {score.upscaler:.2f} | {gain:+.2f} |")
    return "\n".join(lines) + "\n"


@torch.no_grad()
def save_samples(model: SRResNet, seed: int, path: Path) -> None:
    """Four unseen scenes, 64 pixels enlarged 4 times: as pixels, by bicubic, by the model, and as they were drawn."""
    rng, images, captions = np.random.default_rng((seed, 97)), list[Image.Image](), list[str]()
    for spec in unseen_scenes(8, seed)[::2]:
        target = to_tensor(draw_scene(spec, rng, 256)[None])
        small = soften(reduce(target, 4), 0.4, 0.01, torch.Generator().manual_seed(seed))
        nearest = F.interpolate(small, scale_factor=4)
        made = {"64 pixels": nearest, "bicubic": enlarge_bicubic(small, 4), "upscaler": model(small, 4)}
        for caption, tensor in (made | {"drawn at 256": target}).items():
            images.append(Image.fromarray(to_pixels(tensor)[0]))
            captions.append(caption)
    contact_sheet(images, captions, columns=4).save(path)


def _save(model: SRResNet, directory: Path) -> None:
    """In half precision, in the layout of a diffusers directory."""
    model.half().save_pretrained(directory / "upscaler")
    (directory / INDEX_NAME).write_text(json.dumps(_PIPELINE, indent=2), encoding="utf-8")
