"""A text-to-image ROM from nothing, or with the autoencoder of another: tokenizer, text encoder, autoencoder, U-Net."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from app.roms.manifest import RomManifest
from training.base import BaseRom
from training.denoising import Conditions
from training.diffusion import DiffusionConfig, new_scheduler, new_unet, train_diffusion
from training.domains.domain import ReadableDomain
from training.export import Release, build_pipeline, publish
from training.loop import device
from training.text_encoder import TextEncoderConfig, train_text_encoder, widen_text_encoder
from training.tokenizer import train_tokenizer
from training.vae import VaeConfig, refine_vae, train_vae

_STAGES = ("text_encoder", "wide_text_encoder", "vae", "refine", "diffusion", "uniform_diffusion")


@dataclass(frozen=True)
class Autoencoder:
    """Whose latents the U-Net learns, and what is published."""

    latents: AutoencoderKL
    published: AutoencoderKL
    shared: Mapping[str, Path] = field(default_factory=dict)  # its folder, where it is another ROM's


@dataclass(frozen=True)
class TextToImage:
    """A recipe: what to draw, how large each part is and how long it trains."""

    manifest: RomManifest
    domain: ReadableDomain[Any]
    samples: tuple[str, ...]  # prompts of the sample sheet
    captions: int  # that the tokenizer learns from
    text_encoder: TextEncoderConfig
    vae: VaeConfig | str  # how it is trained; or the id of the ROM, in the same store, that it is taken from
    diffusion: DiffusionConfig
    relatives: tuple[ReadableDomain[Any], ...] = ()  # of ROMs that are to share the text encoder

    def make(self, work: Path, store: Path) -> None:
        if isinstance(self.vae, str):
            base = BaseRom.open(store, self.vae, self.manifest.id)
            vae = base.conditions.vae
            self._make(Autoencoder(vae, vae, {"vae": base.directory / "vae"}), base.folder(work, "vae/"), store)
        else:
            work.mkdir(parents=True, exist_ok=True)
            self._make(self._train_vae(self.vae, work), work, store)

    def _make(self, vae: Autoencoder, work: Path, store: Path) -> None:
        tokenizer = train_tokenizer(self.domain, self.captions, self.text_encoder.loop.seed, work)
        text_encoder = self._train_text_encoder(tokenizer, work)
        unet = new_unet(self.diffusion, text_encoder.config.hidden_size, vae.latents.config.latent_channels)
        conditions = Conditions(tokenizer, text_encoder, vae.latents)
        unet = train_diffusion(self.diffusion, self.domain, conditions, unet, work)
        pipeline = build_pipeline(vae.published, text_encoder, tokenizer, unet, new_scheduler())
        stages = [stage for stage in _STAGES if (work / f"{stage}.csv").exists()]
        publish(pipeline, Release(self.manifest, self.samples, stages, work, store), vae.shared)

    def smoke(self) -> TextToImage:
        diffusion = replace(self.diffusion.smoke(), block_out_channels=(32, 64))
        vae = self.vae if isinstance(self.vae, str) else self.vae.smoke()
        return replace(self, captions=500, text_encoder=self.text_encoder.smoke(), vae=vae, diffusion=diffusion)

    def _train_vae(self, config: VaeConfig, work: Path) -> Autoencoder:
        domains = (self.domain, *config.relatives)
        first = _stage(work / "vae", AutoencoderKL, lambda: train_vae(config, domains, work))
        refined = _stage(work / "vae_refined", AutoencoderKL, lambda: refine_vae(config, domains, first, work))
        return Autoencoder(first, refined)

    def _train_text_encoder(self, tokenizer: CLIPTokenizer, work: Path) -> CLIPTextModel:
        config = self.text_encoder
        narrow = _stage(
            work / "text_encoder", CLIPTextModel, lambda: train_text_encoder(config, self.domain, tokenizer, work)
        )
        if not self.relatives:
            return narrow
        return _stage(
            work / "text_encoder_wide",
            CLIPTextModel,
            lambda: widen_text_encoder(config, (self.domain, *self.relatives), tokenizer, narrow, work),
        )


def _stage(directory: Path, cls: Any, make: Callable[[], Any]) -> Any:
    """The model saved in `directory`, or a new one, saved there."""
    if not (directory / "config.json").exists():
        model = make()
        partial = directory.with_name(f".{directory.name}.partial")
        model.save_pretrained(partial)
        partial.rename(directory)
    return cls.from_pretrained(directory).to(device()).eval().requires_grad_(False)
