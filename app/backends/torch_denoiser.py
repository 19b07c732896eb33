"""A U-Net in torch, made fast: precision, layout, attention, and what of a prompt is the same at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.backends.attention import install, project
from app.backends.base import Conditioning
from app.backends.compilation import CompiledLater, compiled_twin
from app.backends.feed_forward import split_gates
from app.backends.graphs import Forward, ReplayedForward, record_cuda_graph
from app.backends.options import pick_memory_format
from app.backends.sharing import share_weights
from app.backends.tiers import Weights
from app.backends.unet import UNetTraits

_ADDED = ("text_embeds", "time_ids")  # that Stable Diffusion XL is told: the prompt as a whole, sizes


class TorchDenoiser:
    """`optimizations` are names of app.core.OPTIMIZATIONS; of a U-Net with a LoRA, `base` is the one without."""

    def __init__(self, unet: Any, optimizations: frozenset[str], base: Any = None) -> None:
        self.traits = UNetTraits.of(unet)
        self.device: torch.device = unet.device
        self.dtype: torch.dtype = unet.dtype
        self._memory_format = pick_memory_format(optimizations)
        self.unet = unet.to(memory_format=self._memory_format)  # as it was made, to lay LoRAs over
        self._optimizations = optimizations
        if "fused_qkv" not in optimizations:  # which makes other weights of them
            unet = share_weights(unet)
        of_prompt = install(unet, is_tiled="tiled_attention" in optimizations)
        self._of_prompt = of_prompt if "prompt_keys_values" in optimizations else []
        if "split_geglu" in optimizations:
            split_gates(unet)
        if of_prompt and "fused_qkv" in optimizations:  # diffusers' own attention does not know of it
            _fuse(unet)
        self._weights = Weights(unet, base)
        self.nbytes = self._weights.nbytes
        self._forward, self._forget = _accelerate(unet, optimizations)
        self._latest: tuple[Sequence[Conditioning], list[torch.Tensor]] = ((), [])

    def adapted(self, unet: Any) -> TorchDenoiser:
        """One for this U-Net with a LoRA over it, in memory beside this one."""
        return TorchDenoiser(unet, self._optimizations, self.unet)

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
        of_size = [added[name] for name in _ADDED] if added else []
        return self._forward([sample, timestep, *of_size, *self._stack(prompts)]).float()

    def park(self) -> None:
        """What was recorded holds for the weights' addresses, and goes with them."""
        self._forget()
        self._latest = ((), [])
        self._weights.park()

    def resume(self) -> None:
        self._weights.resume()

    def _stack(self, prompts: Sequence[Conditioning]) -> list[torch.Tensor]:
        """Embeddings [B, L, D], then keys and values [B, 2, L, C]. A step mostly has the prompts of the one before."""
        before, stacked = self._latest
        if len(before) != len(prompts) or any(one is not other for one, other in zip(before, prompts, strict=True)):
            stacked = [torch.stack([prompt.prompt_embeds for prompt in prompts])]
            layers = zip(*(prompt.keys_values for prompt in prompts), strict=True)
            stacked += [torch.stack(layer) for layer in layers]
            self._latest = (list(prompts), stacked)
        return stacked


def _accelerate(unet: Any, optimizations: frozenset[str]) -> tuple[Forward, Callable[[], None]]:
    """The U-Net's forward, where asked compiled in the background, replayed on a GPU; and what forgets recordings."""
    forward, later, forget = _flat(unet), None, _nothing
    if "compile" in optimizations:
        forward = later = CompiledLater(forward, lambda: _flat(compiled_twin(unet)))
    if "cuda_graphs" in optimizations and unet.device.type == "cuda":
        forward = replayed = ReplayedForward(forward, record_cuda_graph)
        forget = replayed.forget
        if later is not None:
            later.on_ready = forget
    return forward, forget


def _nothing() -> None:
    """Nothing is recorded."""


def _flat(unet: Any) -> Forward:
    """Of tensors that all have a row a batch row: sample, timestep, further conditions, embeddings, keys and values."""
    is_told = unet.config.addition_embed_type == "text_time"

    def forward(inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        sample, timestep, *others = inputs
        added = dict(zip(_ADDED, others, strict=False)) if is_told else None
        embeds, *keys_values = others[len(_ADDED) :] if is_told else others
        given = {"cross_attention_kwargs": {"keys_values": keys_values}} if keys_values else {}
        output = unet(sample, timestep, encoder_hidden_states=embeds, added_cond_kwargs=added, **given)
        return output.sample  # type: ignore[no-any-return]

    return forward


def _fuse(unet: Any) -> None:
    """Query, key and value of the self attentions in one projection."""
    for name, module in unet.named_modules():
        if name.endswith("attn1"):
            module.fuse_projections()
            del module.to_q, module.to_k, module.to_v
