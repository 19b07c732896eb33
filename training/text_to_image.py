"""A text-to-image ROM from nothing: tokenizer, text encoder, autoencoder, U-Net, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from transformers import CLIPTextModel

from app.roms.manifest import RomManifest
from training.diffusion import Conditions, DiffusionConfig, new_scheduler, new_unet, train_diffusion
from training.domains.domain import Domain, ReadableDomain
from training.export import build_pipeline, publish
from training.loop import device
from training.text_encoder import TextEncoderConfig, train_text_encoder
from training.tokenizer import train_tokenizer
from training.vae import VaeConfig, refine_decoder, train_vae, widen_vae

_STAGES = ("text_encoder", "vae", "decoder", "diffusion")


@dataclass(frozen=True)
class TextToImage:
    """A recipe: what to draw, how large each part is and how long it trains."""

    manifest: RomManifest
    domain: ReadableDomain[Any]
    samples: tuple[str, ...]  # prompts of the sample sheet
    captions: int  # that the tokenizer learns from
    text_encoder: TextEncoderConfig
    vae: VaeConfig
    diffusion: DiffusionConfig
    relatives: tuple[Domain[Any], ...] = ()  # what else the autoencoder is to show, for ROMs that will share it

    def make(self, work: Path, store: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        domain = self.domain
        tokenizer = train_tokenizer(domain, self.captions, self.vae.loop.seed, work)
        text_encoder = _stage(
            work / "text_encoder",
            CLIPTextModel,
            lambda: train_text_encoder(self.text_encoder, domain, tokenizer, work),
        )
        vae = _stage(work / "vae", AutoencoderKL, lambda: train_vae(self.vae, domain, work))
        refined = self._refine(vae, work)
        conditions = Conditions(tokenizer, text_encoder, vae)
        unet = new_unet(self.diffusion, text_encoder.config.hidden_size)
        unet = train_diffusion(self.diffusion, domain, conditions, unet, work)
        pipeline = build_pipeline(refined, text_encoder, tokenizer, unet, new_scheduler())
        publish(pipeline, self.manifest, self.samples, _STAGES, work, store)

    def smoke(self) -> TextToImage:
        return replace(
            self,
            captions=500,
            text_encoder=replace(self.text_encoder, loop=self.text_encoder.loop.smoke()),
            vae=self.vae.smoke(),
            diffusion=replace(self.diffusion.smoke(), block_out_channels=(32, 64)),
        )

    def _refine(self, vae: AutoencoderKL, work: Path) -> AutoencoderKL:
        """The autoencoder that ships: of the same latents as far as the domain goes."""
        domains = (self.domain, *self.relatives)
        wide = vae
        if self.relatives:
            wide = _stage(work / "vae_wide", AutoencoderKL, lambda: widen_vae(self.vae, domains, vae, work))
        return _stage(work / "vae_refined", AutoencoderKL, lambda: refine_decoder(self.vae, domains, wide, work))


def _stage(directory: Path, cls: Any, make: Callable[[], Any]) -> Any:
    """The model saved in `directory`, or a new one, saved there."""
    if not (directory / "config.json").exists():
        model = make()
        partial = directory.with_name(f".{directory.name}.partial")
        model.save_pretrained(partial)
        partial.rename(directory)
    return cls.from_pretrained(directory).to(device()).eval().requires_grad_(False)
