"""How well captions fit their images by CLIP: where bad captions are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.own.embeddings import Embeddings

_WORST = 5


def report(embeddings: Embeddings, captions: Sequence[str]) -> str:
    """Statistics of the cosines of images and their captions, and the captions that fit worst, as text.

    Empty where there is no CLIP.
    """
    if embeddings.clip_image is None or embeddings.clip_text is None:
        return ""
    images, texts = embeddings.clip_image.numpy(), embeddings.clip_text.numpy()
    cosines = (images * texts).sum(axis=1)
    low, middle, high = np.quantile(cosines, (0.05, 0.5, 0.95))
    lines = [
        f"CLIP similarity of {len(cosines)} images and their captions: mean {cosines.mean():.3f},"
        f" median {middle:.3f}, 5% below {low:.3f}, 5% above {high:.3f}, least {cosines.min():.3f}",
        f"of a caption and another's image: mean {_of_others(images, texts, cosines):.3f}",
        "the captions that fit worst:",
    ]
    lines += [f"  {cosines[row]:.3f}  {embeddings.names[row]}: {captions[row]}" for row in cosines.argsort()[:_WORST]]
    return "\n".join(lines)


def _of_others(images: np.ndarray, texts: np.ndarray, own: np.ndarray) -> float:
    """Mean cosine of all pairs but the own ones; their own mean where there is one image."""
    count = len(own)
    if count == 1:
        return float(own.mean())
    return float((images.sum(axis=0) @ texts.sum(axis=0) - own.sum()) / (count * (count - 1)))
