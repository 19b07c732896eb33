"""A ROM's domain, drawn from the captions that it learnt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from app.roms.domain import Domain

_KEYWORDS, _EXAMPLES, _DESCRIBED = 12, 16, 5
_STOP_WORDS = frozenset(
    """
    a an and are as at be between by for from has have his her in into is it its no not of off on onto or over that the
    their there this to under up very was were where which while with without image photo picture
    """.split()  # noqa: SIM905 - a page of words reads better than a page of quotes
)


def domain_of(captions: Sequence[str]) -> Domain:
    """The words that most captions have, and some of the captions, spread over all of them, as examples."""
    counts = Counter(word for caption in captions for word in sorted(_words(caption)))
    keywords = tuple(word for word, _ in counts.most_common(_KEYWORDS))
    different = list(dict.fromkeys(captions))
    spread = [different[index * len(different) // _EXAMPLES] for index in range(_EXAMPLES)]
    about = f": {', '.join(keywords[:_DESCRIBED])}" if keywords else ""
    return Domain(
        description=f"What {len(captions)} images of a user's own show{about}.",
        keywords=keywords,
        examples=tuple(dict.fromkeys(spread)),
    )


def _words(caption: str) -> set[str]:
    return {word for word in re.findall(r"[^\W\d_]{2,}", caption.lower()) if word not in _STOP_WORDS}
