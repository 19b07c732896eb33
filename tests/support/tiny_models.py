"""The models of tiny ROMs: real classes, shaped as those of public checkpoints are, random weights."""

from __future__ import annotations

from typing import Any, Literal

from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

Architecture = Literal["sd", "sd-text", "bk-sdm", "sdxl", "ssd-1b"]
MAX_TOKENS = 16  # with the two that frame a prompt
LATENT_SIZE = 8
VAE_SCALE_FACTOR = 2
IMAGE_SIZE = LATENT_SIZE * VAE_SCALE_FACTOR  # pixels
_WIDTH = 32  # of the text encoder's states, and the first blocks of UNet and autoencoder
_WIDTH_2 = 48  # of the second text encoder's states
_POOLED = 24
_TIME_WIDTH = 8  # of each number of the size that SDXL is told
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"
_MERGES = [("a", "n"), ("c", "a"), ("ca", "t</w>"), ("t", "h"), ("th", "e</w>")]

_BLOCKS = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
_TOLD_SIZE_AND_PROMPT = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": _TIME_WIDTH,
    "projection_class_embeddings_input_dim": 6 * _TIME_WIDTH + _POOLED,
    "cross_attention_dim": _WIDTH + _WIDTH_2,
    "attention_head_dim": (2, 4),  # which is the number of heads
    "use_linear_projection": True,
    "layers_per_block": 2,
}
_UNETS: dict[Architecture, dict[str, Any]] = {
    "sd": _BLOCKS | {"attention_head_dim": 8, "layers_per_block": 1, "cross_attention_dim": _WIDTH},
    "sd-text": _BLOCKS  # as the embedded ROM: it also reads the prompt as a whole
    | {"attention_head_dim": 8, "layers_per_block": 1, "cross_attention_dim": _WIDTH}
    | {"addition_embed_type": "text", "addition_embed_type_num_heads": 4},
    "bk-sdm": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "mid_block_type": None,
        "attention_head_dim": 8,
        "layers_per_block": 1,
        "cross_attention_dim": _WIDTH,
    },
    "sdxl": _BLOCKS | _TOLD_SIZE_AND_PROMPT | {"transformer_layers_per_block": (1, 2)},
    "ssd-1b": _BLOCKS
    | _TOLD_SIZE_AND_PROMPT
    | {
        "mid_block_type": "UNetMidBlock2D",
        "transformer_layers_per_block": (1, (2, 1)),
        "reverse_transformer_layers_per_block": ((1, 1, 2), 1),
    },
}


def make_tokenizer(pad_token: str = _EOS) -> Any:
    """CLIP's, with every byte as a token and a few merges."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*characters, *(f"{character}</w>" for character in characters)]
    tokens += ["".join(pair) for pair in _MERGES]
    vocabulary = {token: index for index, token in enumerate([*tokens, _BOS, _EOS])}
    return CLIPTokenizer(vocab=vocabulary, merges=_MERGES, model_max_length=MAX_TOKENS, pad_token=pad_token)


def make_text_encoder(tokenizer: Any) -> Any:
    return CLIPTextModel(_text_config(tokenizer, hidden_size=_WIDTH, num_hidden_layers=2, projection_dim=_WIDTH))


def make_text_encoder_2(tokenizer: Any) -> Any:
    config = _text_config(tokenizer, hidden_size=_WIDTH_2, num_hidden_layers=3, projection_dim=_POOLED)
    config.hidden_act = "gelu"
    return CLIPTextModelWithProjection(config)


def make_unet(architecture: Architecture, in_channels: int = 4, width: int = _WIDTH, **changes: Any) -> Any:
    return UNet2DConditionModel(
        in_channels=in_channels,
        sample_size=LATENT_SIZE,
        block_out_channels=(width, 2 * width),
        **_UNETS[architecture] | changes,
    )


def make_autoencoder(**config: Any) -> Any:
    return AutoencoderKL(
        block_out_channels=(_WIDTH, 2 * _WIDTH),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        layers_per_block=1,
        sample_size=IMAGE_SIZE,
        **config,
    )


def make_tiny_autoencoder() -> Any:
    return AutoencoderTiny(
        encoder_block_out_channels=(_WIDTH, _WIDTH),
        decoder_block_out_channels=(_WIDTH, _WIDTH),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )


def _text_config(tokenizer: Any, hidden_size: int, **changes: Any) -> Any:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **changes,
    )
