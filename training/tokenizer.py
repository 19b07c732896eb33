"""The tokenizer: CLIP's byte-pair encoding, with merges learned from captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from training.domains.domain import Domain

MAX_LENGTH = 40  # tokens: the longest caption of shapes takes 29, and the positions after it serve as registers
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(domain: Domain[Any], captions: int, seed: int, directory: Path) -> CLIPTokenizer:
    """Learn merges from captions of random images; saved in `directory/tokenizer`."""
    rng = np.random.default_rng((seed, 2))
    return learn_merges([domain.caption(domain.random_spec(rng), rng) for _ in range(captions)], directory)


def learn_merges(texts: list[str], directory: Path, merges: int = 320) -> CLIPTokenizer:
    """Learn merges from texts; saved in `directory/tokenizer`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    characters = alphabet + [character + "</w>" for character in alphabet]
    backend = _clip_tokenizer(characters, []).backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=len(characters) + merges,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        special_tokens=[_BOS, _EOS],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    learned = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    tokenizer = _clip_tokenizer(characters, learned)
    tokenizer.save_pretrained(directory / "tokenizer")
    return tokenizer


def _clip_tokenizer(characters: list[str], merges: list[tuple[str, str]]) -> CLIPTokenizer:
    tokens = [*characters, *("".join(pair) for pair in merges), _BOS, _EOS]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)
