"""A text-to-image ROM from nothing: tokenizer, text encoder, autoencoder, U-Net, in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from app.roms.manifest import RomManifest
from training.denoising import Conditions
from training.diffusion import DiffusionConfig, new_scheduler, new_unet, train_diffusion
from training.domains.domain import ReadableDomain
from training.export import build_pipeline, publish
from training.loop import device
from training.text_encoder import TextEncoderConfig, train_text_encoder, widen_text_encoder
from training.tokenizer import train_tokenizer
from training.vae import VaeConfig, refine_decoder, train_vae

_STAGES = ("text_encoder", "wide_text_encoder", "vae", "decoder", "diffusion")


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
    relatives: tuple[ReadableDomain[Any], ...] = ()  # what the text encoder and the autoencoder learn besides, for
    # ROMs that are to share them

    def make(self, work: Path, store: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        tokenizer = train_tokenizer(self.domain, self.captions, self.vae.loop.seed, work)
        text_encoder = self._train_text_encoder(tokenizer, work)
        vae = _stage(work / "vae", AutoencoderKL, lambda: train_vae(self.vae, self._all, work))
        refined = _stage(work / "vae_refined", AutoencoderKL, lambda: refine_decoder(self.vae, self._all, vae, work))
        conditions = Conditions(tokenizer, text_encoder, vae)
        unet = new_unet(self.diffusion, text_encoder.config.hidden_size, vae.config.latent_channels)
        unet = train_diffusion(self.diffusion, self.domain, conditions, unet, work)
        pipeline = build_pipeline(refined, text_encoder, tokenizer, unet, new_scheduler())
        stages = [stage for stage in _STAGES if self.relatives or not stage.startswith("wide")]
        publish(pipeline, self.manifest, self.samples, stages, work, store)

    def smoke(self) -> TextToImage:
        diffusion = replace(self.diffusion.smoke(), block_out_channels=(32, 64))
        text_encoder, vae = self.text_encoder.smoke(), self.vae.smoke()
        return replace(self, captions=500, text_encoder=text_encoder, vae=vae, diffusion=diffusion)

    @property
    def _all(self) -> tuple[ReadableDomain[Any], ...]:
        return (self.domain, *self.relatives)

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
            lambda: widen_text_encoder(config, self._all, tokenizer, narrow, work),
        )


def _stage(directory: Path, cls: Any, make: Callable[[], Any]) -> Any:
    """The model saved in `directory`, or a new one, saved there."""
    if not (directory / "config.json").exists():
        model = make()
        partial = directory.with_name(f".{directory.name}.partial")
        model.save_pretrained(partial)
        partial.rename(directory)
    return cls.from_pretrained(directory).to(device()).eval().requires_grad_(False)
