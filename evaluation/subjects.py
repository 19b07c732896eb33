"""What ROMs of scenes draw, each in its own manner: how a scene is asked for, drawn, and read off a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.seen_scene import SeenScene, read_scene
from evaluation.seen_sketch import read_sketch
from training.captions import full_caption
from training.domains.sketch import FRAMES
from training.drawing import draw_scene
from training.ink import sketch_scene
from training.scenes import SceneSpec


@dataclass(frozen=True)
class Subject:
    say: Callable[[SceneSpec, np.random.Generator], str]  # a caption that names everything
    draw: Callable[[SceneSpec, np.random.Generator], np.ndarray]  # uint8 [128, 128, 3]
    read: Callable[[np.ndarray], SeenScene]  # raises ValueError for an array of another kind


def _say_sketch(spec: SceneSpec, rng: np.random.Generator) -> str:
    opening, ending = FRAMES[int(rng.integers(len(FRAMES)))]
    return full_caption(spec, rng, (opening,), (ending,)).text


SHAPES = Subject(lambda spec, rng: full_caption(spec, rng).text, draw_scene, read_scene)
SKETCH = Subject(_say_sketch, sketch_scene, read_sketch)
SUBJECTS = {"shapes": SHAPES, "sketch": SKETCH}
