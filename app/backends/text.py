"""One CLIP text encoder with its tokenizer: prompts to states, also prompts longer than it reads at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class EncodedText:
    states: torch.Tensor  # [chunks * L, D]
    pooled: torch.Tensor | None  # [P], of the first chunk; None for an encoder without a projection
    truncated: str  # what did not fit


class TextEncoder:
    """`penultimate` takes the states before the last layer, as Stable Diffusion XL does."""

    def __init__(self, tokenizer: Any, model: Any, *, penultimate: bool = False) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._penultimate = penultimate
        self._length: int = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        self._room: int = self._length - 2  # beside the tokens that frame a chunk

    def count_chunks(self, prompt: str) -> int:
        tokens: list[int] = self._tokenize(prompt).input_ids
        return max(1, math.ceil(len(tokens) / self._room))

    def encode(self, prompt: str, chunks: int) -> EncodedText:
        """Each chunk is framed, padded and encoded by itself."""
        tokens = self._tokenize(prompt)
        ids, room = tokens.input_ids, self._room
        parts = [self._frame(ids[room * chunk : room * (chunk + 1)]) for chunk in range(chunks)]
        output = self.model(torch.tensor(parts, device=self.model.device), output_hidden_states=self._penultimate)
        states = output.hidden_states[-2] if self._penultimate else output.last_hidden_state
        pooled = getattr(output, "text_embeds", None)
        fitted = len(prompt) if len(ids) <= room * chunks else tokens.offset_mapping[room * chunks - 1][1]
        return EncodedText(states.flatten(0, 1), None if pooled is None else pooled[0], prompt[fitted:].strip())

    def _tokenize(self, prompt: str) -> Any:
        return self._tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False)

    def _frame(self, ids: list[int]) -> list[int]:
        tokenizer = self._tokenizer
        framed = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
        return framed + [tokenizer.pad_token_id] * (self._length - len(framed))
