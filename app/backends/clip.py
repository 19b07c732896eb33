"""The family `clip`: pictures and texts to unit vectors of one space (Radford et al. 2021), in transformers' layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.weights import Placement, load_model
from app.errors import ManifestError
from app.roms.catalog import Rom

_BATCH = 64
_FOREIGN = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class ClipInfo:
    """What the cache needs to know of a loaded CLIP."""

    parts: Mapping[str, int]  # bytes of its weights

    @property
    def nbytes(self) -> int:
        return sum(self.parts.values())


class Clip:
    """Both towers with what prepares their inputs. Each input is embedded by itself; threads may share it."""

    name = "CLIP"

    def __init__(
        self, model: CLIPModel, tokenizer: CLIPTokenizer, processor: CLIPImageProcessorPil, origin: str = ""
    ) -> None:
        self._model, self._tokenizer, self._processor = model.eval(), tokenizer, processor
        self.origin, self.name = origin, f"CLIP {origin}".strip()  # the folder's name
        self.info = ClipInfo({f"clip {id(self)}": sum(tensor.nbytes for tensor in model.parameters())})

    def park(self) -> None:
        """It is on the CPU, beside the thread that owns the device."""

    def resume(self) -> None:
        """It never left."""

    def unload(self) -> None:
        """Its memory goes with the last who holds it."""

    @classmethod
    def load(cls, directory: Path) -> Clip:
        """Raises OSError or ValueError, naming the folder, where it holds no CLIP."""
        for name in ("config.json", "preprocessor_config.json"):
            if not (directory / name).is_file():
                raise OSError(f"{directory} is no CLIP in the layout of transformers: it has no {name}")
        model = CLIPModel.from_pretrained(directory, dtype=torch.float32, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(directory, local_files_only=True)
        processor = CLIPImageProcessorPil.from_pretrained(directory, local_files_only=True)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(model.to(device), tokenizer, processor, directory.resolve().name)

    @torch.no_grad()
    def images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Unit vectors, float64 [N, D], of pictures of any size, uint8 [H, W, 3] each."""
        parts = []
        for start in range(0, len(images), _BATCH):
            prepared = self._processor(images=list(images[start : start + _BATCH]), return_tensors="pt")
            states = self._model.vision_model(pixel_values=prepared["pixel_values"].to(self._model.device))
            parts.append(_unit(self._model.visual_projection(states.pooler_output)))
        return np.concatenate(parts)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float64 [N, D]; of a text that is too long, only the beginning counts."""
        parts = []
        longest = self._model.config.text_config.max_position_embeddings
        for start in range(0, len(texts), _BATCH):
            part = list(texts[start : start + _BATCH])
            batch = self._tokenizer(part, padding=True, max_length=longest, truncation=True, return_tensors="pt")
            batch = batch.to(self._model.device)
            states = self._model.text_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
            parts.append(_unit(self._model.text_projection(states.pooler_output)))
        return np.concatenate(parts)


def load_clip(rom: Rom, options: LoadOptions, pool: ComponentPool) -> Clip:
    """On the CPU, in float32. Raises ManifestError."""
    placement = Placement(torch.device("cpu"), torch.float32)
    try:
        model = load_model(CLIPModel, rom.directory, placement)
        tokenizer = CLIPTokenizer.from_pretrained(rom.directory, local_files_only=True)
        processor = CLIPImageProcessorPil.from_pretrained(rom.directory, local_files_only=True)
    except _FOREIGN as error:
        raise ManifestError(f"the model does not load: {str(error).strip().splitlines()[0]}") from error
    return Clip(model, tokenizer, processor, rom.id)


def image_processor(size: int) -> CLIPImageProcessorPil:
    """Resizes to `size` pixels a side, square, and scales to -1..1."""
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=size, image_mean=half, image_std=half)


def _unit(embeds: torch.Tensor) -> np.ndarray:
    return np.asarray(F.normalize(embeds.double(), dim=-1).cpu().numpy())
