"""What models make of images and captions, computed once and kept in one file beside the checkpoints.

`embeddings.safetensors` holds for every image a row of `latents` and, with a CLIP, of `clip_image` and `clip_text`; the
file names are in its header, under `names`, as JSON.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from app.backends.clip import Clip
from app.roms.weights import sha256_of
from training.loop import autocast
from training.own.images import OwnImages, load_images
from training.own.row_store import KEY_BYTES, Compute, RowStore
from training.vae import to_tensor

FILE_NAME = "embeddings.safetensors"


@dataclass(frozen=True)
class Embeddings:
    """A row for every image, in the order of the names."""

    names: tuple[str, ...]
    latents: torch.Tensor  # [N, C, h, w], scaled
    clip_image: torch.Tensor | None = None  # [N, D], unit vectors
    clip_text: torch.Tensor | None = None  # [N, D], unit vectors
    computed: int = 0  # rows, of any kind, that the file did not have
    digest: str = ""  # of the names, and of all that the latents depend on


@dataclass(frozen=True)
class Encoder:
    """What encodes images of one size, and the folders that it was loaded from."""

    vae: AutoencoderKL
    vae_folder: Path
    width: int  # pixels
    height: int  # pixels
    clip: Clip | None = None
    clip_folder: Path | None = None


def embed(own: OwnImages, encoder: Encoder, path: Path) -> Embeddings:
    """Embeddings of all images, those that `path` has from there; the file is then written anew where it lacked any.

    Raises OwnDataError for an image that cannot be read; what was computed before it is kept.
    """
    names = tuple(image.name for image in own.images)
    images = [sha256_of(image.path) for image in own.images]
    size = f"{encoder.width}x{encoder.height}"
    kinds: dict[str, tuple[list[str], Compute]] = {
        "latents": (_keys(folder_digest(encoder.vae_folder), size, images), _latents(own, encoder))
    }
    if encoder.clip is not None and encoder.clip_folder is not None:
        clip, captions = encoder.clip, own.captions()
        digest = folder_digest(encoder.clip_folder)

        def see(rows: list[int]) -> torch.Tensor:
            pixels = load_images([own.images[row] for row in rows], encoder.width, encoder.height)
            return torch.from_numpy(clip.images(list(pixels))).float()

        def read(rows: list[int]) -> torch.Tensor:
            return torch.from_numpy(clip.texts([captions[row] for row in rows])).float()

        kinds["clip_image"] = _keys(digest, size, images), see
        kinds["clip_text"] = _keys(digest, "text", captions), read
    with RowStore(path) as stored:
        tensors = {name: stored.complete(name, keys, compute) for name, (keys, compute) in kinds.items()}
        stored.keep({name: (keys, tensors[name]) for name, (keys, _) in kinds.items()}, names)
    digest = hashlib.sha256(repr((names, kinds["latents"][0])).encode()).hexdigest()
    return Embeddings(
        names, tensors["latents"], tensors.get("clip_image"), tensors.get("clip_text"), stored.computed, digest
    )


def folder_digest(folder: Path) -> str:
    """Of the names and contents of all files in it that make up a model."""
    suffixes = {".json", ".txt", ".safetensors"}
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in suffixes]
    listed = "".join(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n" for path in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def _keys(model: str, how: str, inputs: list[str]) -> list[str]:
    return [hashlib.sha256(f"{model}\n{how}\n{each}".encode()).hexdigest()[: 2 * KEY_BYTES] for each in inputs]


def _latents(own: OwnImages, encoder: Encoder) -> Compute:
    config: Any = encoder.vae.config

    @torch.no_grad()
    def compute(rows: list[int]) -> torch.Tensor:
        pixels = to_tensor(load_images([own.images[row] for row in rows], encoder.width, encoder.height))
        with autocast():
            means: torch.Tensor = encoder.vae.encode(pixels).latent_dist.mean.float().cpu()
        scaled: torch.Tensor = (means - (config.shift_factor or 0.0)) * config.scaling_factor
        return scaled

    return compute
