"""The scenes of `shapes` as ink sketches, whose captions say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.captions import Caption, random_caption
from training.domains.domain import Reading, Roles
from training.domains.shapes import ShapesDomain, scene_answers, scene_facts
from training.ink import sketch_scene
from training.scenes import SceneSpec, random_held_out, random_spec

FRAMES = (  # what comes before and after the scene's own words
    ("an ink drawing of ", ""),
    ("an ink sketch of ", ""),
    ("a sketch of ", ", in ink"),
    ("a sketch of ", ""),
    ("a hatched drawing of ", ""),
    ("a pen drawing of ", ", hatched"),
    ("", ", ink sketch"),
    ("", ", ink drawing"),
    ("", ", hatched ink drawing"),
    ("", ", pen and ink"),
    ("", ", in ink"),
)


@dataclass(frozen=True)
class SketchDomain:
    """Wavering outlines, hatching in the object's colour, on paper of the background's colour."""

    held_out: bool = False
    name: str = "sketch"
    roles: Roles = ShapesDomain.roles

    def random_spec(self, rng: np.random.Generator) -> SceneSpec:
        return random_held_out(rng) if self.held_out else random_spec(rng)

    def image(self, spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
        return sketch_scene(spec, rng)

    def caption(self, spec: SceneSpec, rng: np.random.Generator) -> str:
        return _caption(spec, rng).text

    def facts(self, spec: SceneSpec) -> dict[str, str]:
        return scene_facts(spec) | {"style": "ink"}

    def read(self, spec: SceneSpec, rng: np.random.Generator) -> Reading:
        """What a caption of `shapes` tells, too: the style is in every one of them."""
        caption = _caption(spec, rng)
        return Reading(caption.text, scene_answers(spec, caption))


def _caption(spec: SceneSpec, rng: np.random.Generator) -> Caption:
    opening, ending = FRAMES[int(rng.integers(len(FRAMES)))]
    return random_caption(spec, rng, (opening,), (ending,))
