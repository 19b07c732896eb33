"""How good decisions about domains are: top-k accuracy, calibration error, and telling what is out of domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class Decision:
    """What is true of one prompt, and what was decided."""

    domain: str  # true
    ranked: tuple[str, ...]  # domains, the most likely first
    confidence: float  # probability of the first among the domains
    out_of_domain: float  # score: the more, the less it is of any domain
    is_out_of_domain: bool
    seconds: float


@dataclass(frozen=True)
class RouterScores:
    """None: there was no prompt that the number is about."""

    top1: float | None  # share of prompts of a domain whose most likely domain is theirs
    top2: float | None
    ece: float | None
    out_of_domain_auroc: float | None
    decision_p50_ms: float
    rejected: float | None  # share of prompts of a domain that are flagged out of domain
    labels: tuple[str, ...]  # the domains, then what stands for all others
    confusion: tuple[tuple[int, ...], ...]  # [true, decided] in the order of labels


def score(decisions: Sequence[Decision], domains: Sequence[str], outside: str = "out_of_domain") -> RouterScores:
    """Prompts whose domain is not among `domains` are out of domain.

    A decision of the confusion matrix is the most likely domain, or `outside` for what is flagged; top1 knows no flags.
    """
    inside = [one for one in decisions if one.domain in domains]
    is_hit = np.array([one.ranked[0] == one.domain for one in inside])
    labels = (*domains, outside)
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    for one in decisions:
        true = one.domain if one.domain in domains else outside
        confusion[labels.index(true), labels.index(outside if one.is_out_of_domain else one.ranked[0])] += 1
    return RouterScores(
        top1=_share([one.ranked[0] == one.domain for one in inside]),
        top2=_share([one.domain in one.ranked[:2] for one in inside]),
        ece=calibration_error(np.array([one.confidence for one in inside]), is_hit) if inside else None,
        out_of_domain_auroc=auroc(
            np.array([one.out_of_domain for one in decisions]),
            np.array([one.domain not in domains for one in decisions]),
        ),
        decision_p50_ms=1e3 * float(np.median([one.seconds for one in decisions])),
        rejected=_share([one.is_out_of_domain for one in inside]),
        labels=labels,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )


def calibration_error(confidences: np.ndarray, is_hit: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): over ten equal bins, the mean of |accuracy - confidence|.

    Each bin weighs as many decisions as it has; a confidence on the border of two is of the lower one. Both [N].
    """
    bins = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [is_hit[bins == each].mean() - confidences[bins == each].mean() for each in np.unique(bins)]
    shares = [(bins == each).mean() for each in np.unique(bins)]
    return float(np.dot(shares, np.abs(gaps)))


def auroc(scores: np.ndarray, is_positive: np.ndarray) -> float | None:
    """The share of pairs of a positive and a negative in which the positive has the higher score; ties count half.

    Both [N]. None where there is no such pair.
    """
    positive, negative = scores[is_positive], scores[~is_positive]
    if not len(positive) or not len(negative):
        return None
    higher = positive[:, None] > negative[None]
    equal = positive[:, None] == negative[None]
    return float(higher.mean() + 0.5 * equal.mean())


def _share(facts: Sequence[bool]) -> float | None:
    return float(np.mean(facts)) if facts else None
