"""LoRAs over a base: our engine against diffusers' own pipelines with the same file, and against merged weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.core import OPTIMIZATIONS
from app.roms.library import RomLibrary
from app.roms.store import open_store
from tests.support.bench import latents_of
from tests.support.loras import ATTENTION, EVERYTHING, LINEAR, TinyLora, merged, write_lora_rom
from tests.support.pairs import Pair, assert_near
from tests.support.tiny_rom import TinyRom, build_tiny_rom

XL = ("unet", "text_encoder", "text_encoder_2")
PEFT_CONFIG = {"r": 4, "lora_alpha": 6, "target_modules": ["to_q", "to_k", "to_v", "to_out.0"]}
LORAS: dict[str, tuple[str, TinyLora]] = {
    "kohya": ("sd", TinyLora("kohya", modules=EVERYTHING)),
    "peft": ("sd", TinyLora("peft", modules=EVERYTHING, ranks=(4, 2))),
    "peft, with its config": ("sd", TinyLora(models=("unet",), modules=ATTENTION, peft_config=PEFT_CONFIG)),
    "diffusers of old": ("sd", TinyLora("diffusers of old", modules=ATTENTION)),
    "U-Net alone": ("sd", TinyLora("kohya", models=("unet",), modules=ATTENTION)),
    "text encoder alone": ("sd", TinyLora("kohya", models=("text_encoder",), strength=1.0)),
    "SDXL, kohya": ("sdxl", TinyLora("kohya of SDXL", models=XL, modules=rf"({LINEAR})(?<!time_emb_proj)")),
    "SDXL, peft": ("sdxl", TinyLora("peft", models=XL, modules=EVERYTHING)),
}
LoraPair = Callable[..., Pair]


@pytest.fixture
def lora_pair(tmp_path: Path) -> LoraPair:
    def make(architecture: str, lora: TinyLora, options: LoadOptions | None = None, **fields: float) -> Pair:
        """A LoRA ROM on our side, its base on theirs."""
        base = build_tiny_rom(tmp_path / "base", TinyRom(architecture))  # type: ignore[arg-type]
        write_lora_rom(tmp_path / "style", base, lora, **fields)
        pair = Pair(base)
        rom = RomLibrary([open_store(f"file://{tmp_path}")]).catalog.get("style")
        pair.backend = load_backend(rom, options or LoadOptions("cpu", "float32"))
        return pair

    return make


def load_theirs(pair: Pair, scale: float = 1.0) -> None:
    pipeline = pair.pipeline("text-to-image", "ddim")
    pipeline.load_lora_weights(str(pair.directory.parent / "style"), weight_name="lora.safetensors", adapter_name="a")
    pipeline.set_adapters(["a"], [scale])


@pytest.mark.parametrize("name", LORAS)
def test_lora_is_what_the_pipeline_makes_of_the_same_file(lora_pair: LoraPair, name: str) -> None:
    pair = lora_pair(*LORAS[name])
    without = pair.theirs("latent")
    load_theirs(pair)
    assert float((pair.theirs("latent") - without).abs().max()) > 0.05, "a LoRA without effect proves nothing"
    pair.assert_same_latents()
    pair.assert_same_pixels()


@pytest.mark.parametrize("scale", [0.0, 0.5, -1.0])
def test_scale_is_that_of_the_pipeline(lora_pair: LoraPair, scale: float) -> None:
    pair = lora_pair("sd", TinyLora("kohya"), lora_scale=scale)
    load_theirs(pair, scale)
    pair.assert_same_latents()


@pytest.mark.parametrize("architecture", ["sd", "sdxl"])
def test_each_module_has_its_own_alpha(lora_pair: LoraPair, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    naming, models = ("kohya of SDXL", XL) if architecture == "sdxl" else ("kohya", XL[:2])
    lora = TinyLora(naming, models, ATTENTION, ranks=(4, 2, 8), alphas=(1.0, 4.0, 2.0, 8.0))  # type: ignore[arg-type]
    pair = lora_pair(architecture, lora)
    pipeline = pair.pipeline("text-to-image", "ddim")
    for name in models:
        monkeypatch.setattr(pipeline, name, merged(pair.directory, lora, name))
    pair.assert_same_latents()


@pytest.mark.parametrize("optimization", [*(name for name in OPTIMIZATIONS if name not in ("compile", "cuda_graphs"))])
def test_no_optimization_drops_the_difference(lora_pair: LoraPair, optimization: str) -> None:
    lora = TinyLora("kohya", modules=EVERYTHING)
    pair = lora_pair("sd", lora, LoadOptions("cpu", "float32", (optimization,)))
    load_theirs(pair)
    assert_near(latents_of(pair.ours()), pair.theirs("latent"))
