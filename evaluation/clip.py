"""A CLIP in the layout of transformers: pictures and texts to unit vectors of one space (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

_BATCH = 64


class Clip:
    """Both towers with what prepares their inputs. Every picture and text is embedded by itself."""

    name = "CLIP"

    def __init__(
        self, model: CLIPModel, tokenizer: CLIPTokenizer, processor: CLIPImageProcessorPil, origin: str = ""
    ) -> None:
        self._model, self._tokenizer, self._processor = model.eval(), tokenizer, processor
        self.origin, self.name = origin, f"CLIP {origin}".strip()  # the folder's name

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


def image_processor(size: int) -> CLIPImageProcessorPil:
    """Resizes to `size` pixels a side, square, and scales to -1..1."""
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=size, image_mean=half, image_std=half)


def _unit(embeds: torch.Tensor) -> np.ndarray:
    return np.asarray(F.normalize(embeds.double(), dim=-1).cpu().numpy())
