"""A U-Net in torch, made fast: precision, layout, attention, and what of a prompt is the same at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from app.backends.attention import install, project
from app.backends.base import Conditioning
from app.backends.feed_forward import split_gates
from app.backends.options import pick_memory_format
from app.backends.unet import UNetTraits


class TorchDenoiser:
    """`optimizations` are names of app.core.OPTIMIZATIONS."""

    def __init__(self, unet: Any, optimizations: frozenset[str]) -> None:
        self.traits = UNetTraits.of(unet)
        self.device: torch.device = unet.device
        self.dtype: torch.dtype = unet.dtype
        self.nbytes = sum(tensor.nbytes for tensor in unet.parameters())
        self._unet = unet
        self._memory_format = pick_memory_format(optimizations)
        unet.to(memory_format=self._memory_format)
        of_prompt = install(unet, is_tiled="tiled_attention" in optimizations)
        self._of_prompt = of_prompt if "prompt_keys_values" in optimizations else []
        if "split_geglu" in optimizations:
            split_gates(unet)
        if of_prompt and "fused_qkv" in optimizations:  # diffusers' own attention does not know of it
            _fuse(unet)
        self._latest: tuple[Sequence[Conditioning], list[torch.Tensor]] = ((), [])

    def read(self, prompt_embeds: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Keys and values of a prompt's embeddings [L, D], [2, L, C] of each attention that looks at them."""
        return tuple(torch.stack(project(attn, prompt_embeds)) for attn in self._of_prompt)

    def predict(
        self,
        latents: torch.Tensor,  # [B, C, h, w]
        timestep: torch.Tensor,  # [B]
        prompts: Sequence[Conditioning],  # B
        added: dict[str, torch.Tensor] | None = None,  # further conditions of the U-Net, [B, ...] each
    ) -> torch.Tensor:
        """float32 [B, C, h, w]"""
        sample = latents.to(self.dtype, memory_format=self._memory_format)
        embeds, *keys_values = self._stack(prompts)
        given = {"cross_attention_kwargs": {"keys_values": keys_values}} if keys_values else {}
        output = self._unet(sample, timestep, encoder_hidden_states=embeds, added_cond_kwargs=added, **given)
        predicted: torch.Tensor = output.sample.float()
        return predicted

    def _stack(self, prompts: Sequence[Conditioning]) -> list[torch.Tensor]:
        """Embeddings [B, L, D], then keys and values [2, B, L, C]. A step mostly has the prompts of the one before."""
        before, stacked = self._latest
        if len(before) != len(prompts) or any(one is not other for one, other in zip(before, prompts, strict=True)):
            stacked = [torch.stack([prompt.prompt_embeds for prompt in prompts])]
            layers = zip(*(prompt.keys_values for prompt in prompts), strict=True)
            stacked += [torch.stack(layer, dim=1) for layer in layers]
            self._latest = (list(prompts), stacked)
        return stacked


def _fuse(unet: Any) -> None:
    """Query, key and value of the self attentions in one projection."""
    for name, module in unet.named_modules():
        if name.endswith("attn1"):
            module.fuse_projections()
            del module.to_q, module.to_k, module.to_v
