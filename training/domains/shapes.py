"""Flat coloured shapes on plain backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.captions import Caption, random_caption
from training.domains.domain import Reading, Roles
from training.drawing import draw_scene
from training.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZES, SceneSpec, random_held_out, random_spec

_UNSAID, _ABSENT = "unsaid", "absent"
_OBJECT = (
    ("middle", "left", "right", "top", "bottom", _ABSENT),
    (*SHAPES, _ABSENT),
    (*COLOURS, _UNSAID, _ABSENT),
    (*SIZES, _UNSAID, _ABSENT),
)
_SCENE = ((*BACKGROUNDS, _UNSAID), ("1", "2", "3", "4", "left of", "above"))


@dataclass(frozen=True)
class ShapesDomain:
    """One object, several alike, or two of which one is left of or above the other."""

    held_out: bool = False  # of the combinations that training never shows
    name: str = "shapes"
    roles: Roles = (_OBJECT, _OBJECT, _SCENE)

    def random_spec(self, rng: np.random.Generator) -> SceneSpec:
        return random_held_out(rng) if self.held_out else random_spec(rng)

    def image(self, spec: SceneSpec, rng: np.random.Generator) -> np.ndarray:
        return draw_scene(spec, rng)

    def caption(self, spec: SceneSpec, rng: np.random.Generator) -> str:
        return random_caption(spec, rng).text

    def facts(self, spec: SceneSpec) -> dict[str, str]:
        return scene_facts(spec)

    def read(self, spec: SceneSpec, rng: np.random.Generator) -> Reading:
        caption = random_caption(spec, rng)
        return Reading(caption.text, scene_answers(spec, caption))


def scene_facts(spec: SceneSpec) -> dict[str, str]:
    """Background and count, and of each object shape, colour and size; those of a second one under "second shape"..."""
    facts = {"background": spec.background, "count": str(len(spec.objects) * spec.count)}
    for prefix, item in zip(("", "second "), spec.objects, strict=False):
        facts |= {f"{prefix}shape": item.shape, f"{prefix}colour": item.colour, f"{prefix}size": item.size}
    return facts | ({"relation": spec.relation} if spec.relation else {})


def scene_answers(spec: SceneSpec, caption: Caption) -> tuple[str, ...]:
    """What a reader of the caption must answer, in the order of the roles."""
    places = {"left of": ("left", "right"), "above": ("top", "bottom"), None: ("middle",)}[spec.relation]
    answers: list[str] = []
    for index in range(2):
        if index >= len(spec.objects):
            answers += (_ABSENT,) * len(_OBJECT)
            continue
        item = spec.objects[index]
        colour = item.colour if caption.names_colours[index] else _UNSAID
        size = item.size if caption.names_sizes[index] else _UNSAID
        answers += (places[index], item.shape, colour, size)
    background = spec.background if caption.names_background else _UNSAID
    return (*answers, background, spec.relation or str(spec.count))
