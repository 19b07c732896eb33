"""CLIP's tokenizer, of the vocabulary that all models of Stable Diffusion read prompts with."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

_MERGES = Path(__file__).parent / "vocabulary" / "bpe_simple_vocab_16e6.txt.gz"
_LENGTH = 77  # tokens of a prompt, with the two that frame it
_WORDS = 49152 - 256 - 2  # that are merged; the file has more
_FRAME = ("<|startoftext|>", "<|endoftext|>")


def make_clip_tokenizer(pad_token: str) -> Any:
    with gzip.open(_MERGES, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()[1 : _WORDS + 1]  # the first says what it is
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), *_FRAME]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=_LENGTH, pad_token=pad_token)
