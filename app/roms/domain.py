"""What a ROM is good at, in words and in rules: what the invoker knows of it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

DOMAIN_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}$")
Words = tuple[Annotated[str, Field(min_length=1)], ...]
Degree = Annotated[float, Field(gt=0, le=1)]


class Rule(BaseModel):
    """What makes a prompt belong to the domain, to a degree: a regular expression, or a grammar of tags.

    A pattern fires where it is found, in any case. Tags fire to the share of the prompt's comma-separated parts that
    are among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)  # as the reason of a decision tells it
    pattern: str = ""
    tags: Words = ()
    degree: Degree = 0.7  # of membership
    against: bool = False  # whether it speaks against the domain

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _is_one_kind(self) -> Rule:
        if bool(self.pattern) == bool(self.tags):
            raise ValueError(f"rule {self.name!r} needs either a pattern or tags")
        return self


class Domain(BaseModel):
    """ROMs of one domain are twins: any of them will do, and their adeptness and what they cost decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", pattern=r"^$|" + DOMAIN_NAME.pattern)  # empty: the ROM's id
    description: str = ""
    keywords: Words = ()
    styles: Words = ()
    examples: Words = ()  # prompts as its users write them
    avoid: Words = ()  # words of what it is no good at
    rules: tuple[Rule, ...] = ()
    adeptness: Degree = 1.0  # how often this ROM draws right what is of the domain: of twins the better goes first
