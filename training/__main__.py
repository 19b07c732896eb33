"""`python -m training ROM`: train a ROM from nothing and write it to the model store. Runs again where it stopped."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL
from transformers import CLIPTextModel

from training.diffusion import new_scheduler, train_diffusion
from training.export import build_pipeline, export_rom, plot_losses, save_samples
from training.loop import device
from training.recipes import RECIPES, Recipe, smoke
from training.text_encoder import train_text_encoder
from training.tokenizer import train_tokenizer
from training.vae import refine_decoder, train_vae

_STAGES = ("text_encoder", "vae", "decoder", "diffusion")
_SAMPLES = (
    "a large red star on a black background",
    "a small blue ring on cream",
    "three green circles on a white background",
    "a yellow heart to the left of a purple square on grey",
    "a large pink cross above a small cyan diamond, on navy",
    "four small orange triangles on mint",
    "a large green diamond on a black background",
    "a tiny red circle below a big blue square on white",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("rom", choices=sorted(RECIPES))
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="checkpoints and curves")
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="where the ROM goes")
    parser.add_argument("--smoke", action="store_true", help="the same stages with next to no work, under a minute")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.rom]
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    make_rom(smoke(recipe) if arguments.smoke else recipe, arguments.work / arguments.rom, arguments.store)


def make_rom(recipe: Recipe, work: Path, store: Path) -> None:
    """Run every stage that `work` does not hold the result of yet, then write the ROM below `store`."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(recipe.captions, recipe.vae.loop.seed, work)
    text_encoder = _stage(
        work / "text_encoder", CLIPTextModel, lambda: train_text_encoder(recipe.text_encoder, tokenizer, work)
    )
    vae = _stage(work / "vae", AutoencoderKL, lambda: train_vae(recipe.vae, work))
    refined = _stage(work / "vae_refined", AutoencoderKL, lambda: refine_decoder(recipe.vae, vae, work))
    unet = train_diffusion(recipe.diffusion, vae, text_encoder, tokenizer, work)
    pipeline = build_pipeline(refined, text_encoder, tokenizer, unet, new_scheduler())
    samples, losses = work / "samples.png", work / "loss.png"
    save_samples(pipeline, recipe.manifest, list(_SAMPLES), samples)
    plot_losses({name: work / f"{name}.csv" for name in _STAGES}, losses)
    store.mkdir(parents=True, exist_ok=True)
    export_rom(pipeline, recipe.manifest, store / recipe.manifest.id, [samples, losses])
    print(f"{store / recipe.manifest.id} is written")


def _stage(directory: Path, cls: Any, make: Callable[[], Any]) -> Any:
    """The model saved in `directory`, or a new one, saved there."""
    if not (directory / "config.json").exists():
        model = make()
        partial = directory.with_name(f".{directory.name}.partial")
        model.save_pretrained(partial)
        partial.rename(directory)
    return cls.from_pretrained(directory).to(device()).eval().requires_grad_(False)


if __name__ == "__main__":
    main()
