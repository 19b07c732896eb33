"""The likelihood of every domain for a prompt, with all that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from app.core import Prompt, RoutingMode, as_tuple
from app.roms.manifest import RomManifest
from app.routing.background import background_of
from app.routing.choice import ConditionalLogit
from app.routing.classifier import Corpus, DomainClassifier, fit_classifier
from app.routing.domains import domains_of
from app.routing.pool import Calibration, pool, told
from app.routing.rules import FiredRule, RuleBook
from app.routing.similarity import Embed, Similarity

Mode = RoutingMode
MODES: tuple[Mode, ...] = get_args(Mode)
WEIGHTS: Mapping[str, float] = {"rules": 1.0, "classifier": 1.0, "similarity": 1.0}
MOST_READ = 2000  # characters of a prompt: what comes later changes no domain, and rules take time
_CLEAR = 2.0  # times as likely as the next domain: what is less is uncertain


@dataclass(frozen=True)
class DomainVector:
    """What a prompt was read as. Probabilities of domains are those given that it is of one of them, and sum to 1."""

    probabilities: Mapping[str, float]  # by domain
    out_of_domain: float  # the probability that it is of none
    sources: Mapping[str, Mapping[str, float]]  # what each source says by itself
    fired: tuple[FiredRule, ...]  # of all its prompts, each rule once
    is_out_of_domain: bool

    @property
    def best(self) -> str:
        """The most likely domain; the first of the catalog among equals."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of the most likely domain."""
        return max(self.probabilities.values())

    @property
    def margin(self) -> float:
        """What the most likely domain is ahead of the next; 1 where there is one only."""
        first, second = [*sorted(self.probabilities.values(), reverse=True), 0.0][:2]
        return first - second

    @property
    def is_uncertain(self) -> bool:
        """Whether the most likely domain is less than twice as likely as the next."""
        return self.margin < self.confidence * (1 - 1 / _CLEAR)


class DomainModel:
    """Knows a catalog. Reading changes nothing, so threads may share it; another catalog takes another `fit`."""

    def __init__(
        self,
        rules: RuleBook,
        choice: ConditionalLogit,
        classifier: DomainClassifier,
        similarity: Similarity | None,
        weights: Mapping[str, float],
        calibrations: Mapping[Mode, Calibration],
    ) -> None:
        self._rules, self._choice = rules, choice
        self._classifier, self._similarity = classifier, similarity
        self._weights, self._calibrations = dict(weights), dict(calibrations)

    @property
    def domains(self) -> tuple[str, ...]:
        return self._rules.domains

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Those that `read` can do: similarity needs an embedding."""
        return tuple(self._calibrations)

    @classmethod
    def fit(
        cls,
        manifests: Mapping[str, RomManifest],
        weights: Mapping[str, float] = WEIGHTS,
        embed: Embed | None = None,
        background: Sequence[str] | None = None,
    ) -> DomainModel:
        """Learns the domains of the manifests, by ROM id; in the order in which they are, the same always.

        Where none of the sources that are there has a weight, they weigh the same. `background` are texts of no domain;
        those that come with this package unless told. ValueError where there are no manifests.
        """
        if not manifests:
            raise ValueError("there are no ROMs to tell apart")
        domains = domains_of(manifests)
        if background is None:
            background = background_of(domain.name for domain in domains)
        corpus = Corpus.of(domains, background)
        rules = RuleBook(manifests)
        labels = corpus.prompt_labels
        classifier, unseen = fit_classifier(corpus)
        degrees = np.array([rules.degrees(rules.fire(text)) for text in corpus.prompts])
        choice = ConditionalLogit.fit(degrees, labels)
        similarity = None if embed is None else Similarity(embed, corpus.prompts, labels, len(domains))
        read: dict[Mode, np.ndarray] = {"rules": choice(degrees), "classifier": unseen}
        if similarity is not None:
            read["similarity"] = similarity.unseen()
        if not any(weights.get(source, 0.0) > 0 for source in read):
            weights = dict.fromkeys(read, 1.0)
        weights = {source: weights.get(source, 0.0) * told(one, labels) for source, one in read.items()}
        pooled: dict[Mode, np.ndarray] = {"auto": pool(read, weights), **read}
        calibrations = {
            mode: Calibration.fit(one, labels, may_sharpen=mode not in ("auto", "rules"))  # see docs/routing.md
            for mode, one in pooled.items()
        }
        return cls(rules, choice, classifier, similarity, weights, calibrations)

    def read(self, prompt: Prompt, mode: Mode = "auto", image: np.ndarray | None = None) -> DomainVector:
        """Several prompts are read as one: the mean of their log-likelihoods; of each the first MOST_READ characters.

        `image`: the vector [features], by `embed`, of a picture that came along; similarity looks at it too.
        ValueError for a mode that this model does not have.
        """
        if mode not in self._calibrations:
            raise ValueError(f"mode {mode!r} is not there; there are: {', '.join(self.modes)}")
        prompts = [text[:MOST_READ] for text in as_tuple(prompt) or ("",)]
        fired = [self._rules.fire(text) for text in prompts]
        read: dict[Mode, np.ndarray] = {}
        if mode in ("auto", "rules"):
            read["rules"] = np.mean([self._choice(self._rules.degrees(rules)) for rules in fired], axis=0)
        if mode in ("auto", "classifier"):
            read["classifier"] = np.mean([self._classifier.log_likelihood(text) for text in prompts], axis=0)
        if mode in ("auto", "similarity") and self._similarity is not None:
            read["similarity"] = np.mean([self._similarity.log_likelihood(text, image) for text in prompts], axis=0)
        return self._vector(mode, read, tuple(dict.fromkeys(rule for rules in fired for rule in rules)))

    def _vector(self, mode: Mode, read: Mapping[Mode, np.ndarray], fired: tuple[FiredRule, ...]) -> DomainVector:
        pooled = pool(read, self._weights if mode == "auto" else {mode: 1.0})
        calibration = self._calibrations[mode]
        probabilities = self._named(calibration.probabilities(pooled))
        outside = calibration.out_of_domain(pooled)
        return DomainVector(
            probabilities=probabilities,
            out_of_domain=outside,
            sources={name: self._named(self._calibrations[name].probabilities(one)) for name, one in read.items()},
            fired=fired,
            is_out_of_domain=outside > calibration.threshold,
        )

    def _named(self, probabilities: np.ndarray) -> dict[str, float]:
        return dict(zip(self.domains, probabilities.tolist(), strict=True))
