"""What zero terminal SNR changes (Lin et al. 2023): `python -m training.zero_snr`, an hour of one core.

Stable Diffusion's schedule leaves a little of the picture in its noisiest latents, and so its mean brightness: a U-Net
learns to read it there, and finds none when a picture begins with noise alone. The U-Net of `shapes`, which never had
such help, is trained on with that schedule, and as long with its own; then both are asked for backgrounds of all kinds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from app.roms.manifest import Preset
from evaluation.generator import Generator, Sampling
from evaluation.metrics.brightness import brightness_errors
from evaluation.sheet import contact_sheet
from training.base import BaseRom
from training.diffusion import DiffusionConfig, train_diffusion
from training.export import Release
from training.loop import LoopConfig
from training.recipes.shapes import SHAPES
from training.scenes import BACKGROUNDS

_SHOWN = ("black", "white", "grey")
# without noise on the way, which could mend or spoil a brightness
_PRESET = Preset(num_inference_steps=20, guidance_scale=2.0, scheduler="ddim", width=128, height=128)


@dataclass(frozen=True)
class ZeroSnrStudy:
    """How long each U-Net trains, and how many pictures of each background are judged."""

    diffusion: DiffusionConfig
    pictures: int = 16

    def make(self, work: Path, store: Path) -> dict[str, dict[str, float]]:
        """Brightness errors by schedule and background; `brightness.md` and `brightness.png` are in `work`."""
        images, errors = {}, {}
        for name, zero_snr in (("plain", False), ("zero terminal SNR", True)):
            base = BaseRom.open(store, "shapes", "the study")
            folder = base.folder(work / name.replace(" ", "-"))
            config = replace(self.diffusion, zero_snr=zero_snr)
            unet = train_diffusion(config, SHAPES.domain, base.conditions, base.unet, folder)
            manifest = SHAPES.manifest.model_copy(update={"presets": {"default": _PRESET}})
            release = Release(manifest, SHAPES.samples, ("diffusion",), folder, folder)
            base.publish(unet, release, zero_snr=zero_snr)
            with Generator(folder / "shapes", dtype="float32") as generator:
                images[name] = generator.generate(self._prompts(), list(range(len(self._prompts()))), Sampling())
            errors[name] = brightness_errors(images[name], self._backgrounds())
        (work / "brightness.md").write_text(table(errors), encoding="utf-8")
        rows = [(name, self._backgrounds().index(shown)) for shown in _SHOWN for name in images]
        pictures = [Image.fromarray(images[name][index]) for name, index in rows]
        contact_sheet(pictures, [name for name, _ in rows], columns=2).save(work / "brightness.png")
        return errors

    def smoke(self) -> ZeroSnrStudy:
        return replace(self, diffusion=self.diffusion.smoke(), pictures=1)

    def _backgrounds(self) -> list[str]:
        return [name for name in BACKGROUNDS for _ in range(self.pictures)]

    def _prompts(self) -> list[str]:
        return [f"a small red circle on a {name} background" for name in self._backgrounds()]


STUDY = ZeroSnrStudy(
    DiffusionConfig(
        LoopConfig(steps=600, batch_size=64, learning_rate=2e-4, warmup_steps=50, ema_decay=0.99),
        images=8000,
        compile=False,
    )
)


def table(errors: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: mean absolute error of brightness, of 255, a row a schedule."""
    names = list(next(iter(errors.values())))
    lines = [f"| schedule | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [f"| {name} | {' | '.join(f'{found[one]:.1f}' for one in names)} |" for name, found in errors.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.zero_snr", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/zero-snr"), help="checkpoints, table and pictures")
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="where `shapes` is")
    parser.add_argument("--smoke", action="store_true", help="next to no work")
    arguments = parser.parse_args()
    print(table((STUDY.smoke() if arguments.smoke else STUDY).make(arguments.work, arguments.store)))


if __name__ == "__main__":
    main()
