"""Learns from what manifests say which domain a text is of: n-grams of words and letters, regularised least squares.

Features are TF-IDF (1 + ln tf, smooth idf, unit norm) of words (1-2) and of letters within words (2-5), each block of
unit norm; scikit-learn takes the n-grams. Least squares on indicators of the domains classify texts as logistic
regression does (Rifkin and Lippert 2007, "Notes on regularized least squares"), and have a closed form, also for what
they would have said of a fold that they had not learnt (An, Liu and Venkatesh 2007, "Fast cross-validation algorithms
for least squares support vector machine and kernel ridge regression"). One text is read by a sparse dot product.
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
_RIDGE = 1.0  # of the squared coefficients, where the squared errors of a text weigh 1 on average
_LOGITS = 10.0  # least squares say 0 or 1; these many times that are log-likelihoods, before calibration
_NEVER = 5.0  # below the lowest intercept: that of a domain without texts
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
        self.coefficients = coefficients  # [n-grams, domains + 1]
        self.intercepts = intercepts  # [domains + 1]

    def log_likelihood(self, text: str) -> np.ndarray:
        """[domains + 1], the last one out of domain."""
        scores = self.intercepts.copy()
        for block in self._blocks:
            counts = Counter(map(block.places.get, block.analyze(text)))
            counts.pop(None, None)
            if counts:
                places = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
                values = 1.0 + np.log(np.fromiter(counts.values(), dtype=float, count=len(counts)))
                values *= block.idf[places]
                scores += (values / np.sqrt(values @ values)) @ self.coefficients[places]
        return log_softmax(scores)

    @classmethod
    def fit(cls, domains: Sequence[DomainTexts], background: Sequence[str]) -> DomainClassifier:
        """ValueError where there are no texts to tell apart."""
        return fit_classifier(Corpus.of(domains, background))[0]


def fit_classifier(corpus: Corpus) -> tuple[DomainClassifier, np.ndarray]:
    """The classifier, and what it says of each prompt where that was not learnt from: [prompts, domains + 1].

    n-grams are weighed by all texts; of their labels a fold knows nothing.
    """
    if len(np.unique(corpus.labels)) < 2:
        raise ValueError("a classifier needs a domain with texts, and texts that are out of domain")
    counted = [_count(corpus.texts, options, fewest) for options, fewest in _KINDS]
    features = _joined([kind.features for kind in counted])
    inverse = _regularised_inverse(features, corpus)
    targets = np.eye(corpus.domains + 1)[corpus.labels]
    dual = inverse @ targets
    absent = np.bincount(corpus.labels, minlength=corpus.domains + 1) == 0
    intercepts = _LOGITS * dual.sum(axis=0)
    intercepts[absent] = intercepts.min() - _NEVER
    blocks, start = [], 0
    for kind in counted:
        blocks.append(kind.block(start, features.shape[1]))
        start += len(kind.names)
    unseen = _LOGITS * _unseen(inverse, dual, targets, corpus.folds())
    unseen[:, absent] = unseen.min() - _NEVER
    return DomainClassifier(blocks, _LOGITS * (features.T @ dual), intercepts), log_softmax(unseen[corpus.is_prompt])


@dataclass(frozen=True)
class _Counted:
    """The n-grams of one kind in all texts."""

    analyze: Callable[[str], list[str]]
    names: np.ndarray  # [n-grams]
    idf: np.ndarray  # [n-grams]
    features: Any  # TF-IDF, sparse [texts, n-grams]

    def block(self, start: int, length: int) -> _Block:
        at_places = np.zeros(length)
        at_places[start : start + len(self.names)] = self.idf
        return _Block(self.analyze, {name: start + place for place, name in enumerate(self.names)}, at_places)


def _count(texts: Sequence[str], options: dict[str, Any], fewest: int) -> _Counted:
    """Those that are in `fewest` texts or more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=fewest, **options)
    features = vectorizer.fit_transform(texts)
    return _Counted(vectorizer.build_analyzer(), vectorizer.get_feature_names_out(), vectorizer.idf_, features)


def _joined(blocks: Sequence[Any]) -> Any:
    from scipy.sparse import hstack

    return hstack(blocks).tocsr()


def _regularised_inverse(features: Any, corpus: Corpus) -> np.ndarray:
    """(K + ridge / weights)^-1 [texts, texts], K = features features^T + 1: the 1 is the intercept's feature.

    Labels weigh the same however many texts they have.
    """
    from scipy.linalg.lapack import spotrf, spotri

    totals = np.bincount(corpus.labels, corpus.weights, minlength=corpus.domains + 1)
    weights = corpus.weights * len(corpus.labels) / (np.count_nonzero(totals) * totals[corpus.labels])
    kernel = (features @ features.T).toarray() + 1.0 + np.diag(_RIDGE / weights)
    factor, _ = spotrf(kernel, lower=1)  # positive, and far from singular: single precision will do
    half, _ = spotri(factor, lower=1)
    return np.asarray(np.tril(half) + np.tril(half, -1).T)


def _unseen(inverse: np.ndarray, dual: np.ndarray, targets: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """[texts, domains + 1]: what is said of the texts of each fold by all others; 0 of those in none."""
    unseen = np.zeros_like(targets)
    for number in range(FOLDS):
        held_out = np.flatnonzero(fold == number)
        unseen[held_out] = targets[held_out] - np.linalg.solve(inverse[np.ix_(held_out, held_out)], dual[held_out])
    return unseen
