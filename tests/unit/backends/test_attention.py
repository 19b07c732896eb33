"""Attention of our own, against torch's and diffusers'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from app.backends.attention import PromptAttention, attend_in_tiles
from app.backends.base import Conditioning
from app.backends.torch_denoiser import TorchDenoiser
from tests.support.forwards import CPU_OPTIMIZATIONS, near
from tests.support.tiny_models import LATENT_SIZE, make_unet

WIDTH = 32  # of a prompt's embeddings
ATTENTION_BLOCKS = {
    "down_block_types": ("AttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "AttnUpBlock2D"),
}
OTHER_KINDS: dict[str, dict[str, Any]] = {
    "attention between convolutions": ATTENTION_BLOCKS,
    "cross attention alone": {"only_cross_attention": (False, True)},
    "prompt that is projected": {"encoder_hid_dim": WIDTH, "encoder_hid_dim_type": "text_proj"},
}


@pytest.mark.parametrize(
    ("shape", "length"),
    [
        pytest.param((1, 1, 1500, 8), 1500, id="one head, rows no multiple of the tile"),
        pytest.param((2, 3, 1111, 8), 2000, id="keys of another length"),
        pytest.param((2, 150, 64, 8), 64, id="more heads than fit"),
        pytest.param((3, 7, 5, 4), 77, id="fewer rows than keys"),
        pytest.param((1, 2, 1, 4), 1, id="one row and one key"),
        pytest.param((1, 1, 1, 8), 1_200_000, id="keys that fill more than a tile"),
    ],
)
def test_attention_in_tiles_is_that_of_torch(shape: tuple[int, int, int, int], length: int) -> None:
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(shape, generator=generator)
    key, value = (torch.randn((*shape[:2], length, shape[3]), generator=generator) for _ in range(2))
    assert near(attend_in_tiles(query, key, value), F.scaled_dot_product_attention(query, key, value))


def test_attention_in_tiles_takes_views_as_they_are() -> None:
    """As the heads of one projection lie: side by side, not one after the other."""
    states = torch.randn((2, 40, 3, 24), generator=torch.Generator().manual_seed(1))  # [B, N, H, 3 * d]
    query, key, value = states.transpose(1, 2).chunk(3, dim=-1)
    assert near(attend_in_tiles(query, key, value), F.scaled_dot_product_attention(query, key, value))


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_attention_of_another_kind_is_left_alone_and_still_right(kind: str) -> None:
    torch.manual_seed(3)
    unet = make_unet("sd", **OTHER_KINDS[kind]).eval().requires_grad_(False)
    latents, prompts = torch.randn(2, 4, LATENT_SIZE, LATENT_SIZE), torch.randn(2, 16, WIDTH)
    timestep = torch.tensor([900.0, 20.0])
    wanted = unet(latents, timestep, encoder_hidden_states=prompts).sample
    denoiser = TorchDenoiser(unet, frozenset(CPU_OPTIMIZATIONS))
    conditionings = [Conditioning(embeds, keys_values=denoiser.read(embeds)) for embeds in prompts]
    assert near(denoiser.predict(latents, timestep, conditionings), wanted)
    assert not any(isinstance(one, PromptAttention) for one in unet.attn_processors.values())


def test_attention_of_transformer_blocks_is_replaced_and_its_projections_are_one() -> None:
    unet = make_unet("sdxl")
    TorchDenoiser(unet, frozenset(CPU_OPTIMIZATIONS))
    assert all(isinstance(one, PromptAttention) for one in unet.attn_processors.values())
    fused = [name.endswith("attn1") for name, module in unet.named_modules() if hasattr(module, "to_qkv")]
    assert len(fused) == len(unet.attn_processors) / 2
    assert all(fused)
