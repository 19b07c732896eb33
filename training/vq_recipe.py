"""The ROM of a VQGAN: trained, judged on images that training never shows, shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import VQModel
from PIL import Image

from app.engine.pictures import to_pixels
from app.roms.manifest import RomManifest
from evaluation.sheet import contact_sheet
from training.base import BaseRom
from training.domains.domain import Domain
from training.export import plot_losses, write_rom
from training.scenes import IMAGE_SIZE
from training.upscaler import psnr
from training.vae import draw_images, to_tensor
from training.vq import VqConfig, train_vq

_JUDGED_SEED = 7


@dataclass(frozen=True)
class VqRecipe:
    """Whose images become words, and whose autoencoder tells how alike two images are."""

    manifest: RomManifest
    config: VqConfig
    domains: tuple[Domain[Any], ...]
    judged_domains: tuple[Domain[Any], ...]
    features: str = "shapes"  # id of a ROM in the same store
    judged_images: int = 64  # of each domain

    def make(self, work: Path, store: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        features = BaseRom.open(store, self.features, self.manifest.id).conditions.vae
        vq = train_vq(self.config, self.domains, features, IMAGE_SIZE, work).half().float()  # as the ROM has it
        scores = self.judge(vq)
        print("reconstruction, dB: " + ", ".join(f"{name} {score:.2f}" for name, score in scores.items()))
        samples, losses = work / "samples.png", work / "loss.png"
        self._show(vq, samples)
        plot_losses({"vq": work / "vq.csv"}, losses)
        store.mkdir(parents=True, exist_ok=True)
        write_rom(vq.half().save_pretrained, self.manifest, store / self.manifest.id, [samples, losses])
        print(f"{store / self.manifest.id} is written")

    def smoke(self) -> VqRecipe:
        return replace(self, config=self.config.smoke(), judged_images=2)

    @torch.no_grad()
    def judge(self, vq: VQModel) -> Mapping[str, float]:
        """PSNR of reconstructions in dB, the mean of each domain's images."""
        scores = {}
        for domain in self.judged_domains:
            pixels = to_tensor(draw_images(self.judged_images, _JUDGED_SEED, domain))
            scores[domain.name] = psnr(vq(pixels).sample, pixels)
        return scores

    @torch.no_grad()
    def _show(self, vq: VQModel, path: Path) -> None:
        """Two images of each domain, as they were drawn and as their words say."""
        images, captions = list[Image.Image](), list[str]()
        for domain in self.judged_domains:
            pixels = to_tensor(draw_images(2, _JUDGED_SEED, domain))
            for drawn, made in zip(to_pixels(pixels), to_pixels(vq(pixels).sample), strict=True):
                images += [Image.fromarray(drawn), Image.fromarray(made)]
                captions += [domain.name, f"{domain.name}, in words"]
        contact_sheet(images, captions, columns=4).save(path)
