"""Metrics by name, each a row of a report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from app.backends.clip import Clip
from evaluation.features.find import Features
from evaluation.metrics.clip_score import clip_scores
from evaluation.metrics.diversity import vendi_score
from evaluation.metrics.frechet import frechet_distance
from evaluation.metrics.prdc import prdc
from evaluation.samples import Samples

SET_METRICS = ("clip_score", "fid", "prdc", "diversity")  # of pictures, whoever made them
METRICS = ("alignment", *SET_METRICS, "speed")
NEED_REFERENCE = ("fid", "prdc")
Values: TypeAlias = dict[str, Any]  # numbers by name, and what they were measured with


@dataclass(frozen=True)
class Instruments:
    """What pictures are measured with."""

    features: Features
    clip: Clip | None


def measure(
    names: Collection[str], samples: Samples, reference: list[np.ndarray], instruments: Instruments
) -> dict[str, Values]:
    """The metrics of these names that are of SET_METRICS.

    Raises ValueError where one lacks what it needs: a CLIP, a prompt a picture, pictures to compare with, or enough.
    """
    results: dict[str, Values] = {}
    features = instruments.features
    if "clip_score" in names:
        results["clip_score"] = _clip_score(samples, instruments.clip)
    if not {"fid", "prdc", "diversity"} & set(names):
        return results
    generated = features.images(samples.images)
    counts = {"features": features.name, "pictures": len(generated)}
    if set(NEED_REFERENCE) & set(names):
        real = features.images(reference)
        compared = {**counts, "reference_pictures": len(real)}
        if "fid" in names:
            results["fid"] = {"fid": frechet_distance(real, generated), **compared}
        if "prdc" in names:
            results["prdc"] = {**asdict(prdc(real, generated)), **compared}
    if "diversity" in names:
        results["diversity"] = {"vendi_score": vendi_score(generated), **counts}
    return results


def _clip_score(samples: Samples, clip: Clip | None) -> Values:
    if clip is None:
        raise ValueError("a CLIP score needs a CLIP")
    scores = clip_scores(clip, samples.images, samples.prompts)
    return {"clip_score": float(scores.mean()), "clip": clip.origin, "pictures": len(scores)}
