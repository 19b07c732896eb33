"""The fuzzy rules of manifests: words, patterns and grammars of tags, each true of a prompt to a degree (Zadeh 1965).

What speaks for a ROM is summed as probabilities are, 1 - prod(1 - degree), and so is what speaks against it; the ROM's
degree is the difference, in [-1, 1]. A domain's degree is that of its best ROM (fuzzy union).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.roms.domain import Rule
from app.roms.manifest import RomManifest
from app.routing.domains import DomainTexts, domains_of
from app.routing.words import PhraseIndex, tokens

KEYWORD, STYLE, TRIGGER, AVOID = 0.5, 0.6, 1.0, 0.5  # degrees of what a manifest gives none for
_WEIGHT = re.compile(r":\s*\d+(\.\d+)?")  # of a tag: (smile:1.2)


@dataclass(frozen=True)
class FiredRule:
    """A rule that is true of a prompt, to a degree above 0 and up to 1."""

    domain: str
    rom_ids: tuple[str, ...]  # whom it speaks of: all ROMs of the domain, or those that have the rule
    name: str
    degree: float
    against: bool = False


class RuleBook:
    """The rules of a catalog, compiled. Reading changes nothing."""

    def __init__(self, manifests: Mapping[str, RomManifest]) -> None:
        texts = domains_of(manifests)
        self.domains = tuple(domain.name for domain in texts)
        self._rom_ids = tuple(domain.rom_ids for domain in texts)
        phrases = [entry for domain in texts for entry in _phrases(domain, manifests)]
        self._phrases = [rule for _, rule in phrases]
        self._index = PhraseIndex(phrase for phrase, _ in phrases)
        rules = [entry for domain in texts for entry in _own_rules(domain, manifests)]
        self._patterns = [(re.compile(rule.pattern, re.IGNORECASE), fired) for rule, fired in rules if rule.pattern]
        self._grammars = [(frozenset(map(_tag, rule.tags)), fired) for rule, fired in rules if rule.tags]

    def fire(self, prompt: str) -> list[FiredRule]:
        """Every rule that is true of the prompt, the domains in the order of the catalog."""
        found = self._index.find(tokens(prompt))
        fired = [replace(self._phrases[i], degree=self._phrases[i].degree * share) for i, share in found.items()]
        fired += [rule for pattern, rule in self._patterns if pattern.search(prompt)]
        if self._grammars:
            parts = [tag for tag in map(_tag, _WEIGHT.sub("", prompt).split(",")) if tag]
            for tags, rule in self._grammars:
                share = sum(part in tags for part in parts) / max(1, len(parts))
                if share > 0:
                    fired.append(replace(rule, degree=rule.degree * share))
        return sorted(fired, key=lambda rule: self.domains.index(rule.domain))

    def degrees(self, fired: Sequence[FiredRule]) -> np.ndarray:
        """[domains], in [-1, 1]: how much the rules speak for each domain."""
        best = np.zeros(len(self.domains))
        if not fired:
            return best
        for number, (name, rom_ids) in enumerate(zip(self.domains, self._rom_ids, strict=True)):
            own = [rule for rule in fired if rule.domain == name]
            if own:
                best[number] = max(_degree(rule for rule in own if rom_id in rule.rom_ids) for rom_id in rom_ids)
        return best


def _degree(fired: Iterable[FiredRule]) -> float:
    missing = {False: 1.0, True: 1.0}
    for rule in fired:
        missing[rule.against] *= 1.0 - rule.degree
    return missing[True] - missing[False]


def _phrases(domain: DomainTexts, manifests: Mapping[str, RomManifest]) -> list[tuple[str, FiredRule]]:
    """Words that speak for or against a domain, and each ROM's trigger words."""

    def speaks(words: Iterable[tuple[str, str, float]], against: bool = False) -> list[tuple[str, FiredRule]]:
        once = {_tag(word): (kind, word, degree) for kind, word, degree in words}  # its inflections are the same word
        rule = FiredRule(domain.name, domain.rom_ids, "", 1.0, against)
        return [(word, replace(rule, name=f'{kind} "{word}"', degree=degree)) for kind, word, degree in once.values()]

    found = speaks(
        [
            *(("keyword", word, KEYWORD) for word in domain.keywords),
            *(("style", word, STYLE) for word in domain.styles),
        ]
    ) + speaks([("avoided", word, AVOID) for word in domain.avoid], against=True)
    owners: dict[str, tuple[str, ...]] = {}
    for rom_id in domain.rom_ids:
        for word in manifests[rom_id].trigger_words:
            owners[word] = (*owners.get(word, ()), rom_id)
    named = (FiredRule(domain.name, roms, f'trigger word "{word}"', TRIGGER) for word, roms in owners.items())
    return found + list(zip(owners, named, strict=True))


def _own_rules(domain: DomainTexts, manifests: Mapping[str, RomManifest]) -> list[tuple[Rule, FiredRule]]:
    """Each rule once, with the ROMs that have it."""
    owners: dict[Rule, tuple[str, ...]] = {}
    for rom_id in domain.rom_ids:
        for rule in manifests[rom_id].domain.rules:
            owners[rule] = (*owners.get(rule, ()), rom_id)
    return [(rule, FiredRule(domain.name, roms, rule.name, rule.degree, rule.against)) for rule, roms in owners.items()]


def _tag(part: str) -> tuple[str, ...]:
    """A tag without case, inflection, brackets and weight."""
    return tuple(word.stem for word in tokens(_WEIGHT.sub("", part)))
