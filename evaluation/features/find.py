"""What distances between sets of pictures are measured in: Inception, a CLIP, or the oracle's reading of scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from app.backends.clip import Clip
from evaluation.features.inception import InceptionFeatures, inception_weights
from evaluation.features.oracle import OracleFeatures

KINDS = ("auto", "inception", "clip", "oracle")


class Features(Protocol):
    """Pictures to vectors."""

    name: str  # for reports: distances in different features do not compare

    def images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Float64 [N, D] of pictures, uint8 [H, W, 3] each. Raises ValueError for pictures that it cannot read."""


def find_features(kind: str, clip: Clip | None) -> Features:
    """The features of this kind (one of KINDS); `auto` is the first that is here, in the order of KINDS.

    Raises ValueError, in a line, where they are not here.
    """
    weights = inception_weights() if kind in ("auto", "inception") else None
    if weights is not None:
        return InceptionFeatures(weights)
    if kind == "inception":
        raise ValueError("inception: torch-fidelity or its weights are not here")
    if clip is not None and kind != "oracle":
        return clip
    if kind == "clip":
        raise ValueError("clip: no CLIP is given")
    return OracleFeatures()
