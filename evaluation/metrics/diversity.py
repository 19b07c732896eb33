"""How many different pictures a set holds: the Vendi score (Friedman & Dieng 2023)."""

from __future__ import annotations

import numpy as np


def vendi_score(features: np.ndarray) -> float:
    """Of features [N, D]: 1 when all are alike, N when all are at right angles.

    The exponential of the entropy of the eigenvalues of K / N, with cosines in K. Raises ValueError for no features.
    """
    if not len(features):
        raise ValueError("a Vendi score needs at least one picture")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(lengths, np.finfo(np.float64).tiny)
    values = np.linalg.svd(unit / np.sqrt(len(unit)), compute_uv=False) ** 2  # those of K / N that are not 0
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))
