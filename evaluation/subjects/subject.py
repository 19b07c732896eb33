"""A kind of picture that a ROM can be asked for: how it is said, drawn, and read off a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.judges.verdict import Verdict

SEED = 20_010_503  # of what evaluation asks for; no training recipe uses it
Kind = Callable[[], Iterator[tuple[Any, np.random.Generator]]]  # specs, each with the generator to say it by


@dataclass(frozen=True)
class Subject:
    say: Callable[[Any, np.random.Generator], str]  # a caption that names everything in a spec
    draw: Callable[[Any, np.random.Generator], np.ndarray]  # uint8 [128, 128, 3]
    judge: Callable[[Any, np.ndarray], Verdict]  # raises ValueError for an array of another kind
    kinds: Mapping[str, Kind]
