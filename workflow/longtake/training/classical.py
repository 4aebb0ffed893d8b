"""Logistic regression and a support vector machine on handcrafted features: the baselines every network must beat."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longtake.errors import ModelError
from longtake.store.arrays import read_arrays, write_arrays
from longtake.store.atomic import write_json

MODELS = ("logistic_regression", "svm")
MODEL_TYPE = "longtake_feature_classifier"
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class FeatureModel:
    """A fitted classifier: standardise, then linear scores, or those of a radial kernel.

    `arrays` holds mean, scale, and coef and intercept, or support, dual and intercept. All of them are of the training
    videos of one fold; nothing is fitted on what is tested.
    """

    kind: str
    class_names: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    strength: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Scores (n, classes) float64 of features (n, m)."""
        x = (features - self.arrays["mean"]) / self.arrays["scale"]
        if self.kind == "svm":
            apart = ((x[:, None] - self.arrays["support"][None]) ** 2).sum(-1)
            x = np.exp(-float(self.arrays["gamma"]) * apart)
        return np.asarray(x @ self.arrays["coef"].T + self.arrays["intercept"])


def fit_features(
    kind: str,
    features: np.ndarray,
    labels: Sequence[int],
    inner: tuple[np.ndarray, Sequence[int]],
    class_names: tuple[str, ...],
    *,
    class_weights: str = "balanced",
    seed: int = 0,
) -> FeatureModel:
    """Fit on features (n, m); the strength of regularisation is the one with the least log loss on the inner split.

    Parameters
    ----------
    inner
        Features and labels of the inner split, whose groups are none of those trained on.

    A machine of one-against-rest with a radial kernel: its scores are margins, not probabilities; the temperature that
    is fitted on the inner split turns them into some. (scikit-learn's own probabilities come of an ungrouped split.)
    """
    mean, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1), scale, 1.0)
    x = (features - mean) / scale
    best: tuple[float, FeatureModel] | None = None
    for strength in _STRENGTHS:
        arrays = {"mean": mean, "scale": scale} | _fitted(
            kind, x, np.asarray(labels), strength, class_weights=class_weights, seed=seed
        )
        model = FeatureModel(kind, class_names, arrays, strength)
        loss = _log_loss(model.scores(inner[0]), np.asarray(inner[1]))
        if best is None or loss < best[0] - 1e-12:
            best = loss, model
    if best is None:
        raise ModelError(f"{kind}: no strength of regularisation could be fitted.")
    return best[1]


def _fitted(
    kind: str, x: np.ndarray, labels: np.ndarray, strength: float, *, class_weights: str, seed: int
) -> dict[str, np.ndarray]:
    weight = "balanced" if class_weights == "balanced" else None
    classes = int(labels.max()) + 1
    if kind == "logistic_regression":
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(C=strength, class_weight=weight, max_iter=2000, random_state=seed).fit(x, labels)
        return _per_class(fitted.coef_, fitted.intercept_, fitted.classes_, classes)
    if kind != "svm":
        raise ModelError(f"{kind!r} is no model on features. There are: {', '.join(MODELS)}.")
    from sklearn.svm import SVC

    gamma = 1.0 / x.shape[1]
    kernel = np.exp(-gamma * ((x[:, None] - x[None]) ** 2).sum(-1))
    coef, intercept = np.zeros((classes, len(x))), np.zeros(classes)
    for number in range(classes):
        machine = SVC(C=strength, kernel="precomputed", class_weight=weight).fit(kernel, labels == number)
        coef[number, machine.support_], intercept[number] = machine.dual_coef_[0], machine.intercept_[0]
    return {"support": x, "gamma": np.array(gamma), "coef": coef, "intercept": intercept}


def _per_class(coef: np.ndarray, intercept: np.ndarray, known: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """One row a class; of two classes scikit-learn keeps the second's alone."""
    if len(known) == 2:
        coef, intercept = np.stack([-coef[0] / 2, coef[0] / 2]), np.array([-intercept[0] / 2, intercept[0] / 2])
    whole = {"coef": np.zeros((classes, coef.shape[1])), "intercept": np.full(classes, -1e9)}
    whole["coef"][known], whole["intercept"][known] = coef, intercept
    return whole


def _log_loss(scores: np.ndarray, labels: np.ndarray) -> float:
    top = scores.max(1, keepdims=True)
    log_sum = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return float((log_sum - scores[np.arange(len(labels)), labels]).mean())


def save_features(model: FeatureModel, folder: str | os.PathLike[str], **more: Any) -> None:
    """Write config.json and model.safetensors (arrays, no pickle) to `folder`."""
    target = Path(folder)
    write_arrays(target / "model.safetensors", {name: np.asarray(value) for name, value in model.arrays.items()})
    about = {"model_type": MODEL_TYPE, "kind": model.kind, "class_names": list(model.class_names)}
    write_json(target / "config.json", {**about, "strength": model.strength, **more})


def load_features(folder: str | os.PathLike[str]) -> FeatureModel:
    """Read what `save_features` wrote."""
    import json

    target = Path(folder)
    arrays, _ = read_arrays(target / "model.safetensors")
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != MODEL_TYPE:
        raise ModelError(f"{target} holds a {config.get('model_type')!r}, not a {MODEL_TYPE}.")
    return FeatureModel(config["kind"], tuple(config["class_names"]), arrays, float(config["strength"]))
