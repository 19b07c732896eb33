"""Scenes to words: many phrasings of one scene, some of them leaving things unsaid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.scenes import ObjectSpec, SceneSpec

SHAPE_WORDS = {
    "circle": ("circle", "circle", "disc", "dot"),
    "square": ("square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "ring": ("ring", "ring", "hoop"),
    "cross": ("cross", "cross", "plus"),
    "heart": ("heart",),
    "diamond": ("diamond", "diamond", "rhombus"),
}
SIZE_WORDS = {"small": ("small", "small", "tiny", "little"), "large": ("large", "large", "big", "huge")}
BACKGROUND_WORDS = {
    "black": ("black",),
    "white": ("white",),
    "grey": ("grey", "gray"),
    "cream": ("cream",),
    "navy": ("navy", "navy", "navy blue"),
    "mint": ("mint", "mint", "mint green"),
}
COUNT_WORDS = {2: ("two", "two", "2"), 3: ("three", "three", "3"), 4: ("four", "four", "4")}
_OPENINGS = ("", "", "", "", "a picture of ", "an image of ", "a drawing of ", "a photo of ", "an illustration of ")
_ENDINGS = ("",) * 9 + (", flat design", ", simple", ", minimal", ", highly detailed", ", high quality", ", centred")


@dataclass(frozen=True)
class Caption:
    """A phrase, and which parts of the scene it names: what a reader of the words alone can know."""

    text: str
    names_background: bool
    names_sizes: tuple[bool, ...]
    names_colours: tuple[bool, ...]


def full_caption(
    spec: SceneSpec,
    rng: np.random.Generator,
    openings: tuple[str, ...] = _OPENINGS,
    endings: tuple[str, ...] = _ENDINGS,
) -> Caption:
    """A caption that names everything."""
    return _caption(spec, rng, 0.0, openings, endings)


def random_caption(
    spec: SceneSpec,
    rng: np.random.Generator,
    openings: tuple[str, ...] = _OPENINGS,
    endings: tuple[str, ...] = _ENDINGS,
) -> Caption:
    """A caption that now and then leaves out a size, a colour or the background."""
    return _caption(spec, rng, 0.12, openings, endings)


def _caption(
    spec: SceneSpec, rng: np.random.Generator, unsaid: float, openings: tuple[str, ...], endings: tuple[str, ...]
) -> Caption:
    sizes = tuple(bool(rng.random() >= unsaid * 2) for _ in spec.objects)
    colours = tuple(bool(rng.random() >= unsaid / 2) for _ in spec.objects)
    says_background = bool(rng.random() >= unsaid)
    phrases = [
        _object(item, spec.count, rng, size, colour)
        for item, size, colour in zip(spec.objects, sizes, colours, strict=True)
    ]
    subject = _related(spec, phrases, rng) if spec.relation else phrases[0]
    text = _pick(rng, openings) + subject
    if says_background:
        text = _with_background(text, _pick(rng, BACKGROUND_WORDS[spec.background]), rng)
    text += _pick(rng, endings)
    if rng.random() < 0.1:
        text = text[0].upper() + text[1:] + "."
    return Caption(text, says_background, sizes, colours)


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _object(item: ObjectSpec, count: int, rng: np.random.Generator, says_size: bool, says_colour: bool) -> str:
    noun = _pick(rng, SHAPE_WORDS[item.shape])
    if count > 1:
        noun += "es" if noun.endswith(("s", "x")) else "s"
    size = _pick(rng, SIZE_WORDS[item.size]) if says_size else ""
    colour = item.colour if says_colour else ""
    article = _pick(rng, COUNT_WORDS[count]) if count > 1 else ""
    style = rng.random()
    if style < 0.75:
        words = [size, colour, noun]
    elif style < 0.85:
        words = [colour, size, noun]
    elif style < 0.93 and size:
        words = [colour, noun + ",", size]
    elif colour:
        words = [size, noun, "in", colour]
    else:
        words = [size, noun]
    phrase = " ".join(word for word in words if word)
    if not article and rng.random() < 0.8:
        article = "an" if phrase[0] in "aeiou" else "a"
    return f"{article} {phrase}" if article else phrase


def _related(spec: SceneSpec, phrases: list[str], rng: np.random.Generator) -> str:
    first, second = phrases
    horizontal = spec.relation == "left of"
    forward = ("to the left of", "left of", "on the left of") if horizontal else ("above", "over", "on top of")
    backward = ("to the right of", "right of", "on the right of") if horizontal else ("below", "under", "beneath")
    ends = ("on the left", "on the right") if horizontal else ("at the top", "at the bottom")
    style = rng.random()
    if style < 0.4:
        return f"{first} {_pick(rng, forward)} {second}"
    if style < 0.8:
        return f"{second} {_pick(rng, backward)} {first}"
    if style < 0.9:
        return f"{first} {ends[0]} and {second} {ends[1]}"
    return f"{second} {ends[1]} and {first} {ends[0]}"


def _with_background(text: str, background: str, rng: np.random.Generator) -> str:
    article = "an" if background[0] in "aeiou" else "a"
    forms = (
        f"{text} on {article} {background} background",
        f"{text} on {article} {background} background",
        f"{text} on {background}",
        f"{text} against {article} {background} background",
        f"{text}, {background} background",
        f"{text}, on {background}",
    )
    return _pick(rng, forms)
