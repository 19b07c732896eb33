"""What a training scene is: coloured shapes on a plain background, and the combinations training never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Relation = Literal["left of", "above"]
Rgb = tuple[int, int, int]

IMAGE_SIZE = 128  # pixels, square

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "diamond")
COLOURS: dict[str, Rgb] = {
    "red": (222, 38, 38),
    "orange": (246, 140, 24),
    "yellow": (250, 214, 40),
    "green": (36, 164, 72),
    "blue": (44, 106, 232),
    "purple": (140, 62, 192),
    "pink": (245, 128, 184),
    "cyan": (36, 194, 208),
}
BACKGROUNDS: dict[str, Rgb] = {
    "black": (12, 12, 14),
    "white": (250, 250, 250),
    "grey": (128, 130, 134),
    "cream": (250, 238, 210),
    "navy": (18, 26, 82),
    "mint": (188, 234, 208),
}
SIZES = ("small", "large")
SMALL_RADIUS = (16.0, 19.0)  # pixels
LARGE_RADIUS = {1: (27.0, 38.0), 2: (24.0, 29.0), 3: (23.0, 26.0), 4: (23.0, 26.0)}  # by objects in the scene
SIZE_BOUNDARY = 21.0  # pixels: a radius below it is small


@dataclass(frozen=True)
class ObjectSpec:
    shape: str
    colour: str
    size: str


@dataclass(frozen=True)
class SceneSpec:
    """What a scene shows: one object `count` times, or two of which objects[0] is `relation` objects[1]."""

    background: str
    objects: tuple[ObjectSpec, ...]
    count: int = 1
    relation: Relation | None = None

    def is_held_out(self) -> bool:
        return any(is_held_out(item.shape, item.colour, self.background) for item in self.objects)


@dataclass(frozen=True)
class Placement:
    """One drawn object: centre and radius in pixels, y downward; angle in radians."""

    spec: ObjectSpec
    x: float
    y: float
    radius: float
    angle: float


def is_held_out(shape: str, colour: str, background: str) -> bool:
    """True for the eighth of all (shape, colour, background) combinations that no training scene contains."""
    indices = (SHAPES.index(shape), list(COLOURS).index(colour), list(BACKGROUNDS).index(background))
    return sum(indices) % 8 == 0


def held_out_combinations() -> list[tuple[str, str, str]]:
    return [(s, c, b) for s in SHAPES for c in COLOURS for b in BACKGROUNDS if is_held_out(s, c, b)]


def random_object(rng: np.random.Generator) -> ObjectSpec:
    return ObjectSpec(str(rng.choice(SHAPES)), str(rng.choice(list(COLOURS))), str(rng.choice(SIZES)))


def random_spec(rng: np.random.Generator, kinds: tuple[float, float, float] = (0.4, 0.2, 0.4)) -> SceneSpec:
    """A scene that training may see. `kinds` are the shares of one object, several alike, and two with a relation."""
    while True:
        kind = rng.choice(3, p=kinds)
        background = str(rng.choice(list(BACKGROUNDS)))
        if kind == 2:
            first, second = random_object(rng), random_object(rng)
            if (first.shape, first.colour) == (second.shape, second.colour):
                continue
            relation: Relation = "left of" if rng.random() < 0.5 else "above"
            spec = SceneSpec(background, (first, second), relation=relation)
        else:
            spec = SceneSpec(background, (random_object(rng),), count=1 if kind == 0 else int(rng.integers(2, 5)))
        if not spec.is_held_out():
            return spec


def random_held_out(rng: np.random.Generator) -> SceneSpec:
    """One object in a combination that training never sees."""
    combinations = held_out_combinations()
    shape, colour, background = combinations[int(rng.integers(len(combinations)))]
    return SceneSpec(background, (ObjectSpec(shape, colour, str(rng.choice(SIZES))),))


def place(spec: SceneSpec, rng: np.random.Generator) -> list[Placement]:
    """Positions, radii and small rotations for what `spec` shows."""
    placements = []
    for item, (x, y, jitter) in zip(_repeated(spec), _slots(spec), strict=True):
        number = len(spec.objects) * spec.count
        low, high = SMALL_RADIUS if item.size == "small" else LARGE_RADIUS[number]
        dx, dy = rng.uniform(-1, 1, 2) * jitter
        placements.append(Placement(item, x + dx, y + dy, rng.uniform(low, high), rng.uniform(-0.12, 0.12)))
    return placements


def _repeated(spec: SceneSpec) -> tuple[ObjectSpec, ...]:
    return spec.objects if spec.relation else spec.objects * spec.count


def _slots(spec: SceneSpec) -> list[tuple[float, float, np.ndarray]]:
    """Centre (x, y) and largest shift (x, y) of each object, in pixels."""
    near, far, middle = 33.0, 95.0, 64.0
    still, along_y, along_x = np.array([3.0, 3.0]), np.array([2.5, 12.0]), np.array([12.0, 2.5])
    if spec.relation == "above":
        return [(middle, near, along_x), (middle, far, along_x)]
    if spec.relation == "left of" or spec.count == 2:
        return [(near, middle, along_y), (far, middle, along_y)]
    if spec.count == 1:
        return [(middle, middle, np.array([14.0, 14.0]))]
    if spec.count == 3:
        return [(near, near, still), (far, near, still), (middle, far, still)]
    return [(near, near, still), (far, near, still), (near, far, still), (far, far, still)]
