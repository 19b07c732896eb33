"""One tiny ROM on both sides: behind our engine, and in diffusers' own pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.engine.state import RequestState
from app.imaging import Source
from app.roms.catalog import read_rom
from app.roms.manifest import read_json
from tests.support.bench import alone, latents_of
from tests.support.oracles import make_oracle
from tests.support.tiny_models import IMAGE_SIZE
from tests.support.tiny_roms import TinyRoms

TOLERANCE = 1e-4  # of the largest latent
PIXEL_TOLERANCE = 1  # a level of 255, where rounding falls on the other side
STEPS = 6
SEED = 20
_SUFFIX_OF_TASK = {"text-to-image": "", "image-to-image": "Img2Img", "inpainting": "Inpaint"}
_DEFAULTS: dict[str, Any] = {
    "task": "text-to-image",
    "prompt": "the cat",
    "negative_prompt": "a dog",
    "guidance_scale": 5.0,
    "scheduler": "ddim",
    "strength": 1.0,
    "width": IMAGE_SIZE,
    "height": IMAGE_SIZE,
}


class Pair:
    """What is asked of one side may be asked of the other, in the words of ResolvedParams."""

    def __init__(self, directory: Path, variant: str | None = None) -> None:
        self.backend = load_backend(read_rom(directory), LoadOptions("cpu", "float32"))
        self.directory = directory
        self._variant = variant  # of the weights, that the pipelines are told to take
        self._pipelines: dict[str, Any] = {}

    def ours(self, **asked: Any) -> RequestState:
        return alone(self.backend, num_inference_steps=STEPS, **{"seeds": (SEED,)} | _DEFAULTS | asked)

    def theirs(self, output_type: str, **asked: Any) -> Any:
        arguments = _DEFAULTS | asked
        task, scheduler, source = (arguments.pop(name, None) for name in ("task", "scheduler", "source"))
        if task == "text-to-image":
            del arguments["strength"]
        else:
            arguments |= _images(source, arguments["width"], arguments["height"])
        if task == "image-to-image":
            del arguments["width"], arguments["height"]
        return self.pipeline(task, scheduler)(
            num_inference_steps=STEPS,
            generator=torch.Generator("cpu").manual_seed(SEED),
            output_type=output_type,
            **arguments,
        ).images

    def pipeline(self, task: str, scheduler: str) -> Any:
        if task not in self._pipelines:
            self._pipelines[task] = self._load(task)
        pipeline = self._pipelines[task]
        pipeline.scheduler = make_oracle(scheduler, read_json(self.directory / "scheduler" / "scheduler_config.json"))
        return pipeline

    def _load(self, task: str) -> Any:
        name = read_json(self.directory / "model_index.json")["_class_name"]
        cls = getattr(diffusers, name.replace("Pipeline", f"{_SUFFIX_OF_TASK[task]}Pipeline"))
        without = {"feature_extractor": None} | ({} if "XL" in name else {"safety_checker": None})
        options = {"torch_dtype": torch.float32, "variant": self._variant, "local_files_only": True}
        pipeline = cls.from_pretrained(self.directory, **options, **without)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def assert_same_latents(self, **asked: Any) -> None:
        assert_near(latents_of(self.ours(**asked)), self.theirs("latent", **asked))

    def assert_same_pixels(self, **asked: Any) -> None:
        assert_pixels(self.ours(**asked), self.theirs("pil", **asked)[0])


class Pairs:
    """Each loaded when it is first asked for."""

    def __init__(self, roms: TinyRoms) -> None:
        self._roms = roms
        self._loaded: dict[str, Pair] = {}

    def __getitem__(self, name: str) -> Pair:
        if name not in self._loaded:
            self._loaded[name] = Pair(self._roms[name])
        return self._loaded[name]


def assert_near(mine: torch.Tensor, oracle: torch.Tensor) -> None:
    error, scale = float((mine - oracle).abs().max()), float(oracle.abs().max())
    assert error <= TOLERANCE * scale, f"error {error:.2e}, scale {scale:.2e}"


def assert_pixels(state: RequestState, picture: Any) -> None:
    mine, oracle = state.future.result(0).images[0].astype(int), np.asarray(picture).astype(int)
    assert oracle.std() > 1, "a picture of one colour proves nothing"
    assert np.abs(mine - oracle).max() <= PIXEL_TOLERANCE


def _images(source: Source, width: int, height: int) -> dict[str, Any]:
    images = {"image": Image.fromarray(source.image).resize((width, height), Image.Resampling.LANCZOS)}
    if source.mask is not None:
        images["mask_image"] = Image.fromarray(source.mask).resize((width, height), Image.Resampling.LANCZOS)
    return images
