"""The published models' shapes: what each U-Net, text encoder and autoencoder is built as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SD_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_XL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_CLIP_L: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
_CLIP_G: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "max_position_embeddings": 77,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
VAE: dict[str, Any] = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}


@dataclass(frozen=True)
class Architecture:
    title: str
    unet: dict[str, Any]
    text_encoders: tuple[dict[str, Any], ...]
    vae_scaling: float
    published_s: float  # of one picture with default settings on one GPU, in a published comparison

    @property
    def is_xl(self) -> bool:
        return len(self.text_encoders) == 2


ARCHITECTURES = {
    "sd-v1-4": Architecture("SD v1-4", _SD_UNET, (_CLIP_L,), 0.18215, 15.4),
    "bk-sdm-small": Architecture(
        "BK-SDM-small", _SD_UNET | {"layers_per_block": 1, "mid_block_type": None}, (_CLIP_L,), 0.18215, 10.0
    ),
    "ssd-1b": Architecture(
        "SSD-1B",
        _XL_UNET
        | {
            "mid_block_type": "UNetMidBlock2D",
            "transformer_layers_per_block": (1, (2, 2), (4, 4)),
            "reverse_transformer_layers_per_block": ((4, 4, 10), (2, 1, 1), 1),
        },
        (_CLIP_L, _CLIP_G),
        0.13025,
        59.4,
    ),
    "sdxl": Architecture("SDXL", _XL_UNET, (_CLIP_L, _CLIP_G), 0.13025, 82.2),
}
