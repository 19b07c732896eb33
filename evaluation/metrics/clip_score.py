"""CLIP score: how well pictures fit their prompts, without reference pictures (Hessel et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.backends.clip import Clip

WEIGHT = 2.5  # the paper's, which spreads the scores of good captions over 0..1


def clip_scores(clip: Clip, images: Sequence[np.ndarray], prompts: Sequence[str]) -> np.ndarray:
    """2.5 * max(cosine, 0) of each picture, uint8 [H, W, 3], and its prompt, float64 [N].

    Raises ValueError when there are not as many prompts as pictures, or none.
    """
    if len(images) != len(prompts) or not images:
        raise ValueError(f"a CLIP score needs a prompt a picture: there are {len(images)} and {len(prompts)}")
    return scores_of(clip.images(images), clip.texts(prompts))


def scores_of(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """The same of unit vectors, both [N, D]."""
    return np.asarray(WEIGHT * np.maximum((images * texts).sum(axis=1), 0))
