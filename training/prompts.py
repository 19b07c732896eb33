"""Short prompts that ask for one attribute's value: what zero-shot classification compares a picture with."""

from __future__ import annotations

import numpy as np

_FORMS = {
    "shape": ("a {}", "a picture of a {}", "one or more of {}"),
    "colour": ("something {}", "a {} shape", "a picture in {}"),
    "background": ("on a {} background", "a {} background", "a picture on {}"),
    "size": ("something {}", "a {} shape", "a picture of something {}"),
    "count": ("{} shapes", "{} things", "a picture of {} things"),
    "relation": ("one shape {} another", "something {} something", "a picture of one thing {} another"),
    "digit": ("the digit {}", "a handwritten {}", "the number {}"),
    "length": ("a number of {} digits", "{} digits"),
    "ink": ("written in {}", "{} writing", "a number in {}"),
    "paper": ("written on {}", "on {}", "a number on {}"),
}
_NUMBERS = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six"}


def prompt(attribute: str, value: str, rng: np.random.Generator | None = None) -> str:
    """The first form for this attribute, or any with `rng`; `<attribute> <value>` for one that has no form."""
    forms = _FORMS.get(attribute, (f"{attribute} {{}}",))
    form = forms[0] if rng is None else forms[int(rng.integers(len(forms)))]
    said = _NUMBERS.get(value, value) if attribute == "count" else value
    return form.format(said)
