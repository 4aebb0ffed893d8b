"""Probabilities that mean what they say: a temperature, and a threshold, both from the inner split alone."""

from __future__ import annotations

import numpy as np

_COLDEST, _HOTTEST = 0.05, 20.0


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (n, classes) of logits (n, classes)."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    found: np.ndarray = powers / powers.sum(1, keepdims=True)
    return found


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of logits with the least log loss (Guo et al. 2017), between 0.05 and 20; 1 without logits."""
    if not len(labels):
        return 1.0
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        found = softmax(logits, float(np.exp(log_temperature)))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(found, 1e-300)).mean())

    result = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(result.x))


def threshold(positive: np.ndarray, labels: np.ndarray) -> float:
    """Of two classes: the probability of the second above which it is called, by balanced accuracy on the inner split.

    Half-way between two probabilities that occur; .5 where one class is missing. Ties go to the one nearest .5.
    """
    if len(set(labels.tolist())) < 2:
        return 0.5
    values = np.unique(positive)
    cuts = np.concatenate([[0.5], (values[:-1] + values[1:]) / 2])
    called = positive[None] >= cuts[:, None]
    balanced = (called[:, labels == 1].mean(1) + (~called)[:, labels == 0].mean(1)) / 2
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    return float(cuts[best[np.argmin(np.abs(cuts[best] - 0.5))]])


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> list[tuple[int, float, float, int]]:
    """Of each bin of confidence that holds videos: its number, mean confidence, accuracy, and how many (n)."""
    confidence, called = probabilities.max(1), probabilities.argmax(1)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (
            number,
            float(confidence[place == number].mean()),
            float((called == labels)[place == number].mean()),
            int((place == number).sum()),
        )
        for number in range(bins)
        if (place == number).any()
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): mean |accuracy - confidence| over bins, weighted by size."""
    rows = reliability(probabilities, labels, bins)
    return sum(count * abs(accuracy - confidence) for _, confidence, accuracy, count in rows) / max(len(labels), 1)
