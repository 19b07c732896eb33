"""Learns from what manifests say which domain a text is of: n-grams of words and letters, logistic regression.

Features are TF-IDF (1 + ln tf, smooth idf, unit norm) of words (1-2) and of letters within words (2-5), each block of
unit norm. scikit-learn fits; one text is read by a sparse dot product of our own, which gives the same numbers in a
fraction of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.routing.calibration import log_softmax
from app.routing.domains import DomainTexts

WORD_WEIGHT = 0.5  # of a description, keyword or style among examples, which weigh 1
FOLDS = 5
_C, _TOLERANCE, _MOST_ITERATIONS = 10.0, 1e-3, 300
_KINDS = (  # of n-grams: options of scikit-learn's vectorizers, and in how many texts one must be to count
    ({"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b"}, 1),
    ({"analyzer": "char_wb", "ngram_range": (2, 5)}, 2),
)


@dataclass(frozen=True)
class Corpus:
    """What is learnt from: the words of domains, then their examples, then texts that are out of domain."""

    texts: tuple[str, ...]
    labels: np.ndarray  # [N], the place of the domain; the number of domains: out of domain
    weights: np.ndarray  # [N]
    is_prompt: np.ndarray  # [N]: an example or out of domain, which words of a manifest are not
    domains: int

    @classmethod
    def of(cls, domains: Sequence[DomainTexts], background: Sequence[str]) -> Corpus:
        words = [(text, place) for place, domain in enumerate(domains) for text in domain.words]
        prompts = [(text, place) for place, domain in enumerate(domains) for text in domain.examples]
        prompts += [(text, len(domains)) for text in background]
        told = words + prompts
        is_prompt = np.arange(len(told)) >= len(words)
        return cls(
            texts=tuple(text for text, _ in told),
            labels=np.array([place for _, place in told], dtype=int),
            weights=np.where(is_prompt, 1.0, WORD_WEIGHT),
            is_prompt=is_prompt,
            domains=len(domains),
        )

    @property
    def prompts(self) -> tuple[str, ...]:
        return self.texts[len(self.texts) - int(self.is_prompt.sum()) :]

    @property
    def prompt_labels(self) -> np.ndarray:
        return np.asarray(self.labels[self.is_prompt])

    def folds(self) -> np.ndarray:
        """[N]: the fold of each prompt, every label dealt out in turn; -1 for words, which are in no fold."""
        fold = np.full(len(self.texts), -1)
        for label in np.unique(self.labels):
            members = np.flatnonzero(self.is_prompt & (self.labels == label))
            fold[members] = np.arange(len(members)) % FOLDS
        return fold


@dataclass(frozen=True)
class _Block:
    """n-grams of one kind: how to take them off a text, their places in the coefficients, their idf."""

    analyze: Callable[[str], list[str]]
    places: dict[str, int]
    idf: np.ndarray  # [all n-grams], at their places


class DomainClassifier:
    """Fitted. Reading changes nothing."""

    def __init__(self, blocks: Sequence[_Block], coefficients: np.ndarray, intercepts: np.ndarray) -> None:
        self._blocks = tuple(blocks)
        self._coefficients = coefficients  # [n-grams, domains + 1]
        self._intercepts = intercepts  # [domains + 1]

    def log_likelihood(self, text: str) -> np.ndarray:
        """[domains + 1], the last one out of domain."""
        scores = self._intercepts.copy()
        for block in self._blocks:
            counts = Counter(map(block.places.get, block.analyze(text)))
            counts.pop(None, None)
            if counts:
                places = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
                values = 1.0 + np.log(np.fromiter(counts.values(), dtype=float, count=len(counts)))
                values *= block.idf[places]
                scores += (values / np.sqrt(values @ values)) @ self._coefficients[places]
        return log_softmax(scores)

    @classmethod
    def fit(cls, domains: Sequence[DomainTexts], background: Sequence[str]) -> DomainClassifier:
        """ValueError where there are no texts to tell apart."""
        return fit_classifier(Corpus.of(domains, background))[0]


def fit_classifier(corpus: Corpus) -> tuple[DomainClassifier, np.ndarray]:
    """The classifier, and what it says of each prompt where that was not learnt from: [prompts, domains + 1]."""
    if len(np.unique(corpus.labels)) < 2:
        raise ValueError("a classifier needs a domain with texts, and texts that are out of domain")
    counted = [_count(corpus.texts, options, fewest) for options, fewest in _KINDS]
    fold = corpus.folds()
    unseen = np.zeros((len(corpus.texts), corpus.domains + 1))
    for number in range(FOLDS):
        held_out = fold == number
        if held_out.any():
            features = [kind.features(~held_out) for kind in counted]
            coefficients, intercepts = _regress(_joined([x for x, _ in features], ~held_out), corpus, ~held_out)
            unseen[held_out] = _joined([x for x, _ in features], held_out) @ coefficients + intercepts
    everything = np.ones(len(corpus.texts), dtype=bool)
    features = [kind.features(everything) for kind in counted]
    coefficients, intercepts = _regress(_joined([x for x, _ in features], everything), corpus, everything)
    blocks, start = [], 0
    for kind, (_, idf) in zip(counted, features, strict=True):
        blocks.append(kind.block(idf, start, len(coefficients)))
        start += int((idf > 0).sum())
    return DomainClassifier(blocks, coefficients, intercepts), log_softmax(unseen[corpus.is_prompt])


@dataclass(frozen=True)
class _Counted:
    """How often each n-gram is in each text."""

    analyze: Callable[[str], list[str]]
    names: np.ndarray  # [n-grams]
    counts: Any  # sparse [texts, n-grams]
    fewest: int  # texts that an n-gram must be in

    def features(self, learnt: np.ndarray) -> tuple[Any, np.ndarray]:
        """TF-IDF of all texts as those that are `learnt` [texts] have it; and idf [n-grams], 0 for what they lack."""
        present = (self.counts[learnt] > 0).sum(axis=0)
        frequency = np.asarray(present, dtype=float).ravel()
        idf = np.log((1.0 + learnt.sum()) / (1.0 + frequency)) + 1.0
        idf[frequency < self.fewest] = 0.0
        scaled = self.counts[:, idf > 0].astype(float)
        np.log(scaled.data, scaled.data)
        scaled.data += 1.0
        scaled.data *= idf[idf > 0][scaled.indices]
        norms = np.sqrt(np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel())
        scaled.data /= np.repeat(np.where(norms > 0, norms, 1.0), np.diff(scaled.indptr))
        return scaled, idf

    def block(self, idf: np.ndarray, start: int, length: int) -> _Block:
        kept = np.flatnonzero(idf)
        at_places = np.zeros(length)
        at_places[start : start + len(kept)] = idf[kept]
        return _Block(self.analyze, {self.names[i]: start + place for place, i in enumerate(kept)}, at_places)


def _count(texts: Sequence[str], options: dict[str, Any], fewest: int) -> _Counted:
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(**options)
    counts = vectorizer.fit_transform(texts).tocsr()
    return _Counted(vectorizer.build_analyzer(), vectorizer.get_feature_names_out(), counts, fewest)


def _joined(blocks: Sequence[Any], rows: np.ndarray) -> Any:
    from scipy.sparse import hstack

    return hstack([block[rows] for block in blocks]).tocsr()


def _regress(features: Any, corpus: Corpus, learnt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [n-grams, domains + 1] and intercepts; classes weigh the same, those without texts get nothing."""
    from sklearn.linear_model import LogisticRegression

    labels, weights = corpus.labels[learnt], corpus.weights[learnt]
    totals = np.bincount(labels, weights, minlength=corpus.domains + 1)
    weights = weights * len(labels) / (np.count_nonzero(totals) * totals[labels])
    model = LogisticRegression(C=_C, tol=_TOLERANCE, max_iter=_MOST_ITERATIONS)
    model.fit(features, labels, sample_weight=weights)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps the second class alone
        coefficients, intercepts = np.vstack([np.zeros_like(coefficients), coefficients]), np.append(0.0, intercepts)
    spread = np.zeros((features.shape[1], corpus.domains + 1))
    lowest = np.full(corpus.domains + 1, float(intercepts.min()) - 5.0)
    spread[:, model.classes_], lowest[model.classes_] = coefficients.T, intercepts
    return np.ascontiguousarray(spread), lowest
