"""Small catalogs whose domains anybody can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.roms.domain import Domain, Rule
from app.roms.manifest import RomManifest

BACKGROUND = (
    "what is the capital of france",
    "write a function that sorts a list",
    "translate this sentence into german",
    "how do I boil an egg",
    "remind me to call the dentist",
    "select name from users where id is three",
    "who won the match yesterday",
    "summarise the report in two sentences",
    "play some jazz",
    "is it going to rain tomorrow",
)
FRUIT = (
    "a ripe banana on a plate",
    "two red apples and a pear",
    "a bowl of juicy cherries",
    "an orange cut in half",
    "three green pears in a basket",
    "fresh strawberries with a lemon",
    "a peeled banana",
    "a basket of apples",
    "sliced lemon and orange",
    "ripe cherries on a plate",
)
TRAINS = (
    "a steam locomotive at the station",
    "a high speed train crossing a bridge",
    "an old railway carriage",
    "freight wagons on the rails",
    "a tram in a snowy street",
    "a diesel locomotive in a tunnel",
    "a train leaving the station",
    "railway tracks at dawn",
    "an express train with red carriages",
    "an abandoned locomotive on rusty rails",
)


def manifest(rom_id: str, name: str = "", **domain: object) -> RomManifest:
    return RomManifest(id=rom_id, domain=Domain.model_validate({"name": name, **domain}))


def fruit_and_trains() -> dict[str, RomManifest]:
    """Two domains; `fruit` and `fruit-fast` are twins."""
    fruit = {
        "keywords": ("fruit", "apple", "banana", "pear", "cherry", "orange", "lemon", "strawberry"),
        "examples": FRUIT,
        "avoid": ("train",),
    }
    rails = Rule(name="something on rails", pattern=r"\b(train|locomotive|tram|rail\w*)s?\b", degree=0.8)
    trains = manifest(
        "trains", keywords=("train", "locomotive", "station"), styles=("steam",), examples=TRAINS, rules=(rails,)
    )
    return {
        "fruit": manifest("fruit", "fruit", **fruit),
        "trains": trains,
        "fruit-fast": manifest("fruit-fast", "fruit", **fruit),
    }


def bag_of_letters(texts: Sequence[str]) -> np.ndarray:
    """A deterministic embedding: how often each three letters in a row occur, in 512 buckets."""
    vectors = np.zeros((len(texts), 512))
    for vector, text in zip(vectors, texts, strict=True):
        padded = f" {text.lower()} "
        for start in range(len(padded) - 2):
            vector[sum(ord(letter) * 31**place for place, letter in enumerate(padded[start : start + 3])) % 512] += 1
    return vectors
