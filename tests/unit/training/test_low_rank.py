"""The difference between two U-Nets as a LoRA: all of it where its rank allows, and the nearest where not."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from app.backends.lora import read_lora
from app.roms.library import RomLibrary
from app.roms.store import open_store
from tests.support.tiny_rom import build_tiny_rom
from training.low_rank import lay_difference, save_lora


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_rom(tmp_path_factory.mktemp("store") / "tiny")


def unet_of(base: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(base / "unet").float().requires_grad_(False)


def tuned(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """With other matrices and kernels, and the same biases and norms."""
    changed, generator = copy.deepcopy(unet), torch.Generator().manual_seed(1)
    for weight in changed.parameters():
        if weight.ndim > 1:
            weight.add_(0.3 * weight.std() * torch.randn(weight.shape, generator=generator))
    return changed


def answer(unet: UNet2DConditionModel) -> torch.Tensor:
    generator, width = torch.Generator().manual_seed(2), unet.config.cross_attention_dim
    latents = torch.randn(2, unet.config.in_channels, 8, 8, generator=generator)
    states = torch.randn(2, 7, width, generator=generator)
    return torch.as_tensor(unet(latents, torch.tensor([700, 20]), states).sample)


def test_at_full_rank_it_is_the_tuned_unet(base: Path) -> None:
    unet = unet_of(base)
    wanted, before = answer(tuned(unet)), answer(unet)
    lay_difference(unet, tuned(unet), rank=10_000)
    assert (wanted - before).abs().max() > 0.01
    assert torch.allclose(answer(unet), wanted, atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3])
def test_of_less_rank_it_is_the_nearest_there_is(base: Path, rank: int) -> None:
    unet = unet_of(base)
    other = tuned(unet)
    lay_difference(unet, other, rank)
    for name in ("conv_in", "time_embedding.linear_1", "mid_block.resnets.0.conv1"):
        layer, goal = unet.get_submodule(name), other.get_submodule(name).weight
        laid = layer.get_delta_weight("default")
        left = torch.linalg.svdvals((goal - layer.weight).flatten(1))[rank:]  # Eckart and Young's error
        assert torch.linalg.matrix_rank(laid.flatten(1), rtol=1e-4) == rank
        assert float((goal - layer.weight - laid).norm()) == pytest.approx(float(left.norm()), rel=1e-3)


def test_what_is_saved_is_served(base: Path) -> None:
    unet = unet_of(base)
    other = tuned(unet)
    lay_difference(unet, other, rank=10_000)
    quick = base.parent / "quick"
    quick.mkdir()
    (quick / "rom.yaml").write_text("id: quick\nbase: tiny\n", encoding="utf-8")
    save_lora(unet, quick)
    rom = RomLibrary([open_store(f"file://{base.parent}")]).catalog.get("quick")
    served = read_lora(rom).over("unet", unet_of(base))
    assert torch.allclose(answer(served), answer(other), atol=1e-3)
