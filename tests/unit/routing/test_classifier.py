"""The classifier against scikit-learn's own pipeline, and against prompts that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion

from app.routing.calibration import log_softmax
from app.routing.classifier import FOLDS, Corpus, DomainClassifier, fit_classifier
from app.routing.domains import domains_of
from tests.support.domains import BACKGROUND, fruit_and_trains, manifest

DOMAINS = domains_of(fruit_and_trains())
CORPUS = Corpus.of(DOMAINS, BACKGROUND)
PROMPTS = (
    "a banana and an apple in a bowl",
    "a steam train at the station",
    "what is the capital of spain",
    "bananas bananas bananas",
    "xyzzy",
    "",
    "Ünïcode   with\tspaces\nand lines",
    "a",
)


def vectorizer() -> FeatureUnion:
    """What the classifier's features are, in scikit-learn's words."""
    return FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")),
            ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)),
        ]
    ).fit(CORPUS.texts)


def least_squares(learnt: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """What scikit-learn's regression among n-grams says of texts [N, labels], having learnt some [texts] of CORPUS."""
    totals = np.bincount(CORPUS.labels, CORPUS.weights)
    weights = CORPUS.weights * len(CORPUS.texts) / (len(totals) * totals[CORPUS.labels])
    features = vectorizer()

    def inputs(texts: Sequence[str]) -> np.ndarray:
        return np.hstack([features.transform(texts).toarray(), np.ones((len(texts), 1))])

    model = Ridge(alpha=1.0, fit_intercept=False, solver="cholesky")
    targets = np.eye(len(totals))[CORPUS.labels]
    model.fit(inputs(CORPUS.texts)[learnt], targets[learnt], sample_weight=weights[learnt])
    return np.asarray(model.predict(inputs(texts)))


def test_one_text_is_read_as_scikit_learn_reads_it() -> None:
    ours = DomainClassifier.fit(DOMAINS, BACKGROUND)
    model = LogisticRegression()
    model.classes_, model.coef_, model.intercept_ = np.arange(3), ours.coefficients.T, ours.intercepts
    theirs = model.predict_proba(vectorizer().transform(PROMPTS))
    read = np.exp([ours.log_likelihood(prompt) for prompt in PROMPTS])
    assert np.abs(read - theirs).max() < 1e-6


def test_fitting_among_texts_finds_what_fitting_among_n_grams_finds() -> None:
    ours = DomainClassifier.fit(DOMAINS, BACKGROUND)
    read = np.array([ours.log_likelihood(prompt) for prompt in PROMPTS])
    theirs = 10.0 * least_squares(np.ones(len(CORPUS.texts), dtype=bool), PROMPTS)
    assert np.abs(read - log_softmax(theirs)).max() < 1e-3


def test_folds_are_read_as_by_a_classifier_that_never_saw_them() -> None:
    unseen, fold = fit_classifier(CORPUS)[1], CORPUS.folds()
    for number in range(FOLDS):
        texts = [text for text, its in zip(CORPUS.texts, fold, strict=True) if its == number]
        theirs = log_softmax(10.0 * least_squares(fold != number, texts))
        assert np.abs(unseen[fold[CORPUS.is_prompt] == number] - theirs).max() < 1e-3


def test_the_same_texts_give_the_same_classifier() -> None:
    first, second = (DomainClassifier.fit(DOMAINS, BACKGROUND) for _ in range(2))
    assert np.array_equal(first.coefficients, second.coefficients)


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ("ripe pears on a plate", 0),
        ("a lemon beside two strawberries", 0),
        ("an old steam locomotive", 1),
        ("railways in the snow", 1),
        ("what is the square root of nine", 2),
        ("write a poem about a sentence", 2),
    ],
)
def test_prompts_find_their_domain(prompt: str, place: int) -> None:
    assert int(DomainClassifier.fit(DOMAINS, BACKGROUND).log_likelihood(prompt).argmax()) == place


def test_what_is_said_of_a_prompt_unseen_is_said_without_it() -> None:
    odd = "zyx wvu tsr"  # like nothing else: seen it is known, unseen it is not
    domains = domains_of({"one": manifest("one", examples=(odd, "red bird", "blue bird", "green bird", "bird"))})
    classifier, unseen = fit_classifier(Corpus.of(domains, BACKGROUND))
    seen = np.exp(classifier.log_likelihood(odd))[0]
    assert seen > 0.8
    assert np.exp(unseen[0])[0] < seen - 0.2


def test_every_prompt_is_in_one_fold_and_words_of_manifests_in_none() -> None:
    fold = CORPUS.folds()
    assert (fold[CORPUS.is_prompt] >= 0).all() and (fold[~CORPUS.is_prompt] == -1).all()
    for label in range(3):
        counts = np.bincount(fold[CORPUS.is_prompt & (CORPUS.labels == label)], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_one_domain_is_told_from_the_background() -> None:
    classifier = DomainClassifier.fit(DOMAINS[:1], BACKGROUND)
    assert np.exp(classifier.log_likelihood("two bananas"))[0] > 0.5
    assert np.exp(classifier.log_likelihood("what is the capital of spain"))[1] > 0.5


def test_without_texts_out_of_domain_one_domain_cannot_be_learnt() -> None:
    with pytest.raises(ValueError, match="needs"):
        DomainClassifier.fit(DOMAINS[:1], ())
