"""The attention of the transformer blocks, with two things that diffusers' own does not do.

Keys and values of the prompt do not change from step to step, so they may be given. And on CPUs that multiply bfloat16
but have no AMX, torch's attention runs at the speed of float32; in tiles it runs at that of the matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

_TILE_BYTES = 4 * 1024 * 1024  # of scores: they stay in the cache between the two products (measured: 1 to 8 MiB)


class PromptAttention:
    """Replaces diffusers' processor in one attention of a transformer block.

    `index` is its number among those that look at the prompt; None where it looks at the image itself.
    """

    def __init__(self, index: int | None, is_tiled: bool) -> None:
        self._index = index
        self._attend = attend_in_tiles if is_tiled else F.scaled_dot_product_attention

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,  # [B, N, C]
        encoder_hidden_states: torch.Tensor | None = None,  # [B, L, D]
        attention_mask: torch.Tensor | None = None,  # of the interface; U-Nets give none
        temb: torch.Tensor | None = None,  # likewise
        keys_values: Sequence[torch.Tensor] = (),  # [B, 2, L, C] of each attention that looks at the prompt
    ) -> torch.Tensor:
        if getattr(attn, "fused_projections", False) and self._index is None:
            query, key, value = attn.to_qkv(hidden_states).chunk(3, dim=-1)
        else:
            query = attn.to_q(hidden_states)
            if keys_values and self._index is not None:
                key, value = keys_values[self._index].unbind(1)
            else:
                key, value = project(attn, hidden_states if encoder_hidden_states is None else encoder_hidden_states)
        attended = self._attend(*(_split(tensor, attn.heads) for tensor in (query, key, value)))
        return attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]


def attend_in_tiles(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention over [B, H, N, d], the scores a tile at a time: some rows of one head, or some heads whole."""
    shape, (length, width) = query.shape, key.shape[2:]
    query = (query * width**-0.5).reshape(-1, shape[2], width)
    key = key.reshape(-1, length, width).transpose(1, 2).contiguous()  # once, not for each tile
    value = value.reshape(-1, length, width)
    scores = _TILE_BYTES // query.element_size()
    rows = max(1, min(shape[2], scores // length))
    heads = max(1, scores // (rows * length))
    out = torch.empty_like(query)
    for head in range(0, len(query), heads):
        some = slice(head, head + heads)
        for row in range(0, shape[2], rows):
            weights = torch.softmax(query[some, row : row + rows] @ key[some], dim=-1)
            out[some, row : row + rows] = weights @ value[some]
    return out.reshape(shape)


def install(unet: Any, *, is_tiled: bool) -> list[Any]:
    """Put the processors in; the attentions that look at the prompt, in the order of their index.

    Nothing is replaced, and nothing returned, where a block has an attention of another kind, or does not get the
    prompt as it is given.
    """
    if unet.encoder_hid_proj is not None:
        return []
    found = [(name, module) for name, module in unet.named_modules() if hasattr(module, "set_processor")]
    attentions = [(name, module) for name, module in found if name.rsplit(".", 1)[-1] in ("attn1", "attn2")]
    if len(attentions) < len(found) or any(not _is_plain(name, module) for name, module in attentions):
        return []
    of_prompt: list[Any] = []
    for name, module in attentions:
        index = None
        if name.endswith("attn2"):
            index = len(of_prompt)
            of_prompt.append(module)
        module.set_processor(PromptAttention(index, is_tiled))
    return of_prompt


def project(attn: Any, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values, [..., L, C] each."""
    return attn.to_k(states), attn.to_v(states)


def _split(states: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, N, C] to [B, H, N, d]."""
    batch, length, width = states.shape
    return states.view(batch, length, heads, width // heads).transpose(1, 2)


def _is_plain(name: str, attn: Any) -> bool:
    """Projections, attention, projection: no norm, no residual, and the second of a block looks at the prompt."""
    if attn.is_cross_attention != name.endswith("attn2"):
        return False
    extras = ("group_norm", "spatial_norm", "norm_cross", "norm_q", "norm_k", "add_k_proj")
    without = all(not getattr(attn, name, None) for name in extras)
    return without and not attn.residual_connection and attn.rescale_output_factor == 1
