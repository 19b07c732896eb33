"""A CLIP small enough to make on the spot: transformers' layout, random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel

from app.backends.clip import image_processor
from tests.support.tiny_models import MAX_TOKENS, make_tokenizer


def build_tiny_clip(directory: Path, seed: int = 0) -> Path:
    """Returns `directory`."""
    tokenizer = make_tokenizer()
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(
        text_config=tower | text, vision_config=tower | {"image_size": 16, "patch_size": 8}, projection_dim=8
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    image_processor(16).save_pretrained(directory)
    return directory
