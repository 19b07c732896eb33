"""A trained model as a ROM: diffusers' directory in half precision, its manifest with digests, curves and samples."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import matplotlib
import torch
import yaml
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from app.roms.manifest import MANIFEST_NAME, RomFile, RomManifest
from app.roms.weights import sha256_of
from evaluation.generator import Generator, Sampling
from evaluation.sheet import contact_sheet

matplotlib.use("Agg")

_MODEL_SUFFIXES = {".json", ".txt", ".safetensors"}
_ORIGIN = "_name_or_path"
_SAMPLE_SEED = 7


@dataclass(frozen=True)
class Release:
    """A ROM that draws, about to be written: what describes it, where its training went on, where it goes."""

    manifest: RomManifest
    samples: Sequence[str]  # prompts of the sample sheet
    stages: Sequence[str]  # of the training, whose curves are in `work`
    work: Path
    store: Path


def build_pipeline(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    scheduler: DDIMScheduler,
) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def publish(
    pipeline: StableDiffusionPipeline, release: Release, shared: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Write the pipeline in half precision as a ROM; see `write_image_rom`.

    `shared` names components that are another ROM's, and their folders, which are copied byte for byte.
    """

    def save(folder: Path) -> None:
        pipeline.to(dtype=torch.float16)
        pipeline.save_pretrained(folder, safe_serialization=True)
        for name, source in shared.items():
            shutil.rmtree(folder / name)
            shutil.copytree(source, folder / name)

    write_image_rom(save, release)


def write_image_rom(save: Callable[[Path], object], release: Release) -> None:
    """Write a ROM that draws, with its training's curves; see `write_rom`.

    Then the service's own engine draws the sample sheet with it. A LoRA's base has to be beside it in the store.
    """
    losses, directory = release.work / "loss.png", release.store / release.manifest.id
    plot_losses({name: release.work / f"{name}.csv" for name in release.stages}, losses)
    write_rom(save, release.manifest, directory, [losses])
    save_samples(directory, release.samples)
    print(f"{directory} is written")


def write_rom(save: Callable[[Path], object], manifest: RomManifest, directory: Path, pictures: list[Path]) -> None:
    """Write what `save` puts into a folder, a manifest with digests, and `pictures` to `directory`.

    It appears whole or not at all; its README.md stays.
    """
    draft = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save(draft)
    for path in draft.rglob("*.safetensors"):  # which the library writes for their owner alone
        path.chmod(0o644)
    for path in draft.rglob("*.json"):
        _forget_origin(path)
    files = [path for path in sorted(draft.rglob("*")) if path.suffix in _MODEL_SUFFIXES]
    listed = tuple(
        RomFile(path=path.relative_to(draft).as_posix(), bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in files
    )
    content = manifest.model_copy(update={"files": listed}).model_dump(mode="json", exclude_defaults=True)
    (draft / MANIFEST_NAME).write_text(yaml.safe_dump(content, sort_keys=False, width=120), encoding="utf-8")
    for path in (*pictures, directory / "README.md"):
        if path.exists():
            shutil.copy(path, draft)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)


def _forget_origin(path: Path) -> None:
    """Take out of a config from which folder of this machine its model was read."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and content.pop(_ORIGIN, None) is not None:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def save_samples(rom: Path, prompts: Sequence[str]) -> None:
    """A contact sheet of `prompts` by the ROM's default preset, in its folder."""
    with Generator(rom) as generator:
        images = generator.generate(prompts, [_SAMPLE_SEED] * len(prompts), Sampling())
    contact_sheet([Image.fromarray(image) for image in images], prompts).save(rom / "samples.png")


def plot_losses(curves: dict[str, Path], path: Path) -> None:
    """One panel a stage, from the CSV files that the loop leaves."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3), squeeze=False)
    for axis, (name, file) in zip(axes[0], curves.items(), strict=True):
        with file.open(newline="") as rows:
            points = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(rows)]
        axis.plot([step for step, _ in points], [loss for _, loss in points], linewidth=1)
        axis.set(title=name, xlabel="step", yscale="log")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
