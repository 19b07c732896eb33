"""The scenes of `shapes` as ink sketches, whose captions say so."""

from __future__ import annotations

import numpy as np

from training.captions import random_caption
from training.domains.shapes import scene_facts
from training.ink import sketch_scene
from training.scenes import SceneSpec, random_spec

# What comes before and after the scene's own words. The text encoder is that of `shapes`, which knows neither "ink" nor
# "sketch". The phrases that come twice are those that it reads past: it still tells all of the scene in at least 98 %
# of captions, with the others in 36 to 79 %.
FRAMES = (
    ("an ink drawing of ", ""),
    ("an ink drawing of ", ""),
    ("a drawing of ", ", in ink"),
    ("a drawing of ", ", in ink"),
    ("", ", ink drawing"),
    ("", ", ink drawing"),
    ("", ", in ink"),
    ("", ", in ink"),
    ("", ", a drawing in ink"),
    ("", ", a drawing in ink"),
    ("an ink sketch of ", ""),
    ("a sketch of ", ", in ink"),
    ("a pen drawing of ", ", hatched"),
    ("", ", ink sketch"),
    ("", ", hatched ink drawing"),
)


class SketchDomain:
    """Wavering outlines, hatching in the object's colour, on paper of the background's colour."""

    name = "sketch"

    def random_spec(self, rng: np.random.Generator) -> SceneSpec:
        return random_spec(rng)

    def image(self, spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
        return sketch_scene(spec, rng)

    def caption(self, spec: SceneSpec, rng: np.random.Generator) -> str:
        opening, ending = FRAMES[int(rng.integers(len(FRAMES)))]
        return random_caption(spec, rng, (opening,), (ending,)).text

    def facts(self, spec: SceneSpec) -> dict[str, str]:
        return scene_facts(spec) | {"style": "ink"}
