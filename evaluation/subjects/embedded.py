"""What the embedded ROMs draw, each in its own manner."""

from __future__ import annotations

from functools import partial

import numpy as np

from evaluation.judges.number import judge_number
from evaluation.judges.scene import judge
from evaluation.judges.seen_sketch import read_sketch
from evaluation.subjects.number_kinds import NUMBER_KINDS
from evaluation.subjects.scene_kinds import SCENE_KINDS
from evaluation.subjects.subject import Subject
from training.captions import full_caption
from training.domains.sketch import FRAMES
from training.drawing import draw_scene
from training.handwriting import write
from training.ink import sketch_scene
from training.number_captions import full_number_caption
from training.scenes import SceneSpec
from training.written_numbers import NumberSpec

# functions of their own, so that prompts can be sent to another process


def _say_scene(spec: SceneSpec, rng: np.random.Generator) -> str:
    return full_caption(spec, rng).text


def _say_sketch(spec: SceneSpec, rng: np.random.Generator) -> str:
    opening, ending = FRAMES[int(rng.integers(len(FRAMES)))]
    return full_caption(spec, rng, (opening,), (ending,)).text


def _say_number(spec: NumberSpec, rng: np.random.Generator) -> str:
    return full_number_caption(spec, rng).text


SHAPES = Subject(_say_scene, draw_scene, judge, SCENE_KINDS)
SKETCH = Subject(_say_sketch, sketch_scene, partial(judge, read=read_sketch), SCENE_KINDS)
DIGITS = Subject(_say_number, write, judge_number, NUMBER_KINDS)
SUBJECTS = {"shapes": SHAPES, "sketch": SKETCH, "digits": DIGITS}
