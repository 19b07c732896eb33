"""What can be told of a domain's images, attribute by attribute."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.domains.domain import Domain, Spec

_SCENES = 4000
_SEED = 41
_MOST_VALUES = 32  # of an attribute that is asked for
_SECOND = "second "


def telling_facts(domain: Domain[Spec], spec: Spec) -> dict[str, str]:
    """The facts that are true of the whole image: not those of which a second object has another value."""
    facts = domain.facts(spec)
    return {
        attribute: value
        for attribute, value in facts.items()
        if not attribute.startswith(_SECOND) and facts.get(_SECOND + attribute, value) == value
    }


def values_of_attributes(domain: Domain[Any]) -> dict[str, tuple[str, ...]]:
    """Every value that each attribute takes, sorted, as some thousands of random images tell.

    Attributes of one value, and of very many, are left out.
    """
    rng = np.random.default_rng(_SEED)
    seen: dict[str, set[str]] = {}
    for _ in range(_SCENES):
        for attribute, value in telling_facts(domain, domain.random_spec(rng)).items():
            seen.setdefault(attribute, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in sorted(seen.items()) if 1 < len(values) <= _MOST_VALUES}
