"""Similarities of atoms by features: the metrics of scikit-learn's pairwise kernels, in torch.

Each maps features x (n, F) and y (m, F) to similarities (n, m), differentiable with respect to
both. ``gamma`` None means 1 / F, and 1 for ``chi2``, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from losiko_torch.keywords import nearest_name

#: Numbers of differences of features that are held at once.
DIFFERENCES_AT_ONCE = 2**22

Metric = Callable[[torch.Tensor, torch.Tensor, float | None, float, float], torch.Tensor]


def linear(x, y, gamma, degree, coef0):
    """x.y"""
    return x @ y.T


def polynomial(x, y, gamma, degree, coef0):
    """(gamma x.y + coef0)^degree"""
    return (_or_inverse(gamma, x) * (x @ y.T) + coef0) ** degree


def sigmoid(x, y, gamma, degree, coef0):
    """tanh(gamma x.y + coef0)"""
    return torch.tanh(_or_inverse(gamma, x) * (x @ y.T) + coef0)


def cosine(x, y, gamma, degree, coef0):
    """x.y / (|x| |y|), and 0 for features that are all zero"""
    return torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T


def rbf(x, y, gamma, degree, coef0):
    """exp(-gamma |x - y|^2)"""
    # Products of differences from the middle lose fewer digits than those of the features.
    middle = x.detach().mean(0)
    x, y = x - middle, y - middle
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)
    return torch.exp(-_or_inverse(gamma, x) * squares.clamp(min=0))


def laplacian(x, y, gamma, degree, coef0):
    """exp(-gamma sum_k |x_k - y_k|)"""
    return torch.exp(-_or_inverse(gamma, x) * torch.cdist(x, y, p=1))


def additive_chi2(x, y, gamma, degree, coef0):
    """-sum_k (x_k - y_k)^2 / (x_k + y_k), of features that are not negative"""
    at_once = max(1, DIFFERENCES_AT_ONCE // max(1, y.numel()))
    parts = []
    for rows in x.split(at_once):
        total = rows[:, None] + y
        differences = (rows[:, None] - y).square() / torch.where(total > 0, total, 1)
        parts.append(-differences.sum(2))
    return torch.cat(parts)


def chi2(x, y, gamma, degree, coef0):
    """exp(gamma additive_chi2)"""
    scale = 1.0 if gamma is None else gamma
    return torch.exp(scale * additive_chi2(x, y, gamma, degree, coef0))


METRICS: dict[str, Metric] = {
    "linear": linear,
    "polynomial": polynomial,
    "poly": polynomial,
    "rbf": rbf,
    "laplacian": laplacian,
    "sigmoid": sigmoid,
    "cosine": cosine,
    "chi2": chi2,
    "additive_chi2": additive_chi2,
}


#: Metrics of features that are not negative.
NOT_NEGATIVE = ("chi2", "additive_chi2")


def unknown_metric(name: object) -> str:
    """Return the sentence about a metric that there is none of."""
    like = nearest_name(name, METRICS) if isinstance(name, str) else None
    hint = f"did you mean '{like}'?" if like else f"there are {', '.join(METRICS)}, or a function"
    return f"there is no metric {name!r}: {hint}"


def _or_inverse(gamma: float | None, x: torch.Tensor) -> float:
    return 1 / x.shape[1] if gamma is None else gamma
