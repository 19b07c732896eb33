"""What a CLIP reads off pictures: a sheet of scenes with the nearest prompt of every attribute underneath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from app.backends.clip import Clip
from evaluation.metrics.zero_shot import read_attribute
from evaluation.sheet import contact_sheet
from training.domains.attributes import telling_facts, values_of_attributes
from training.domains.domain import Domain

_SCENES = 4  # of each domain
_SEED = 20_210_104  # that no training recipe uses


def readings_sheet(clip: Clip, domains: Sequence[Domain[Any]]) -> Image.Image:
    """A row of random scenes of each domain; those of which anything is read wrongly have a red frame."""
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    wrong: list[int] = []
    for domain in domains:
        rng = np.random.default_rng(_SEED)
        specs = [domain.random_spec(rng) for _ in range(_SCENES)]
        drawn = [domain.image(spec, rng) for spec in specs]
        embedded = clip.images(drawn)
        read = {name: read_attribute(clip, embedded, name, of) for name, of in values_of_attributes(domain).items()}
        for row, facts in enumerate(telling_facts(domain, spec) for spec in specs):
            own = {name: read[name][row] for name in read if name in facts}
            captions.append(", ".join(f"{name}: {value}" for name, value in own.items()))
            if any(value != facts[name] for name, value in own.items()):
                wrong.append(len(pictures) + row)
        pictures += drawn
    return contact_sheet([Image.fromarray(picture) for picture in pictures], captions, wrong, columns=_SCENES)
