"""Whether an image shows what was asked: an oracle that knows nothing of the network that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np

from evaluation.judges.seen_scene import SeenObject, SeenScene, read_scene
from training.scenes import ObjectSpec, Relation, SceneSpec


@dataclass(frozen=True)
class SceneVerdict:
    """Which parts of a scene are right. Shape, colour and size: of every object asked for, matched one to one.

    `count` is strict: one blob too many is wrong. `relation` is None when the scene asks for none.
    """

    shape: bool
    colour: bool
    background: bool
    size: bool
    count: bool
    relation: bool | None

    @property
    def parts(self) -> Mapping[str, bool | None]:
        return asdict(self)

    @property
    def all_right(self) -> bool:
        """Everything but the size."""
        return self.count and self.shape and self.colour and self.background and self.relation is not False


class _Match(NamedTuple):
    """One way to tell which seen object is which wanted one. Compared as a tuple: the best match is the largest."""

    parts_right: int
    relation: bool
    shape: bool
    colour: bool
    size: bool


_NO_MATCH = _Match(0, relation=False, shape=False, colour=False, size=False)


def judge(spec: SceneSpec, image: np.ndarray, read: Callable[[np.ndarray], SeenScene] = read_scene) -> SceneVerdict:
    """Compare what `spec` asks for with what the image, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3], shows to `read`.

    Raises ValueError when the array is something else.
    """
    return compare(spec, read(image))


def compare(spec: SceneSpec, scene: SeenScene) -> SceneVerdict:
    """Match the objects seen, the largest first, to the objects `spec` asks for."""
    wanted = spec.objects if spec.relation else spec.objects * spec.count
    number = len(wanted)
    orders = permutations(scene.objects[:number]) if len(scene.objects) >= number else ()
    best = max((_match(wanted, spec.relation, order) for order in orders), default=_NO_MATCH)
    return SceneVerdict(
        shape=best.shape,
        colour=best.colour,
        background=scene.background == spec.background,
        size=best.size,
        count=len(scene.objects) == number,
        relation=best.relation if spec.relation else None,
    )


def _match(wanted: tuple[ObjectSpec, ...], relation: Relation | None, seen: tuple[SeenObject, ...]) -> _Match:
    pairs = list(zip(wanted, seen, strict=True))
    shapes = [want.shape == found.shape for want, found in pairs]
    colours = [want.colour == found.colour for want, found in pairs]
    sizes = [want.size == found.size for want, found in pairs]
    holds = relation is not None and _holds(relation, seen[0], seen[1])
    return _Match(sum(shapes) + sum(colours), holds, all(shapes), all(colours), all(sizes))


def _holds(relation: Relation, first: SeenObject, second: SeenObject) -> bool:
    """True when the second lies in the relation's direction from the first, more than across it."""
    right, down = second.x - first.x, second.y - first.y
    return right > abs(down) if relation == "left of" else down > abs(right)
