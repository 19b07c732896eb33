"""Inception features, those that published FIDs are computed with, where torch-fidelity and its weights are here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

_BATCH = 32
_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity names what it downloads


def inception_weights() -> Path | None:
    """Where torch keeps the weights; None where they or torch-fidelity are missing. Nothing is downloaded."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / _WEIGHTS
    return path if path.is_file() and find_spec("torch_fidelity") is not None else None


class InceptionFeatures:
    """The 2048 features before the last layer of the Inception of the FID's authors."""

    name = "Inception"

    def __init__(self, weights: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=weights)
        self._network = network.to(self._device).eval()

    @torch.no_grad()
    def images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """[N, 2048] of pictures, uint8 [H, W, 3] each; the network scales them to 299x299 itself."""
        batch = _BATCH if len({image.shape for image in images}) == 1 else 1
        parts = []
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(np.stack(images[start : start + batch])).permute(0, 3, 1, 2)
            parts.append(self._network(pixels.to(self._device))[0].double().cpu().numpy())
        return np.concatenate(parts)
