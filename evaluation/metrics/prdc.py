"""How true and how various generated pictures are, apart: precision, recall, density and coverage.

Precision and recall as Kynkaanniemi et al. 2019 measure them, density and coverage as Naeem et al. 2020 do: around
each picture of a set lies a ball that reaches to its k-th nearest neighbour in the set; together they are the
set's manifold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

NEIGHBOURS = 5  # as Naeem et al. have it


@dataclass(frozen=True)
class Prdc:
    """All but the density are shares, 0..1."""

    precision: float  # of generated pictures that lie in the reference's manifold
    recall: float  # of reference pictures that lie in the manifold of the generated ones
    density: float  # in how many reference balls a generated picture lies, over k; 1 is as dense as the reference
    coverage: float  # of reference pictures whose ball has a generated picture


def prdc(reference: np.ndarray, generated: np.ndarray, neighbours: int = NEIGHBOURS) -> Prdc:
    """Of features [N, D] and [M, D]. Raises ValueError when a set has no more than `neighbours` pictures."""
    if min(len(reference), len(generated)) <= neighbours:
        raise ValueError(f"precision and recall need more than {neighbours} pictures of each set")
    distances = cdist(reference, generated)  # [N, M]
    is_in_reference = distances <= _radii(reference, neighbours)[:, None]
    is_in_generated = distances <= _radii(generated, neighbours)[None, :]
    return Prdc(
        precision=float(is_in_reference.any(axis=0).mean()),
        recall=float(is_in_generated.any(axis=1).mean()),
        density=float(is_in_reference.sum(axis=0).mean() / neighbours),
        coverage=float(is_in_reference.any(axis=1).mean()),
    )


def _radii(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance from each picture to its k-th nearest neighbour, itself not counted, [N]."""
    distances = cdist(features, features)
    return np.asarray(np.partition(distances, neighbours, axis=1)[:, neighbours])
