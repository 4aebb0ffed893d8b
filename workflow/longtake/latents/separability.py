"""Whether groups can be told apart from all scalars of a video: a forest with folds that know nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.latents.threads import one_thread_of_all
from longtake.latents.values import Values, few_groups
from longtake.streams import stream

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
TREES = 500
# The p value rests on many forests, and step by step there are as many as steps: those are smaller.
_NULL, _STEP = 10, 5
_FOLDS = 5
_COMPONENTS = 10


def separate(values: Values, *, seed: int, permutations: int, trees: int = TREES) -> list[dict[str, Any]]:
    """Rows of ``SEPARABILITY``: of all measures, of each step, and the confusion of groups.

    Folds are of whole seeds where videos are matched by them, else of videos: a seed's other videos would tell the
    answer. Scaling and principal components are fitted on the training videos of each fold. The p value comes from
    forests of a tenth of the trees, asked about the true groups and about groups that were shuffled within seeds.
    """
    groups = values.groups
    labels = np.array([groups.index(video["group"]) for video in values.videos], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(groups))
    features = _usable(values.numbers)
    why = few_groups(groups)
    if not why and counts.min() < 3:
        why = "a group has fewer than 3 videos"
    if not why and not features.shape[1]:
        why = "no measure differs that all videos have"
    if why:
        return [{"features": "all", "n": len(labels), "n_groups": len(groups), "status": "undecided", "reason": why}]
    # Loaded first, so that it is held to one thread, too.
    import sklearn.decomposition
    import sklearn.ensemble  # noqa: F401

    with one_thread_of_all():
        return _told(values, features, labels, seed=seed, permutations=permutations, trees=trees)


def _told(
    values: Values, features: Array, labels: Labels, *, seed: int, permutations: int, trees: int
) -> list[dict[str, Any]]:
    groups, counts = values.groups, np.bincount(labels)
    blocks = np.unique(values.subjects, return_inverse=True)[1]
    folds = _folds(labels, blocks, seed)
    common = {
        "n": len(labels), "n_groups": len(groups), "folds": len(folds), "chance": float(counts.max() / counts.sum()),
        "folds_by": "seed" if len(set(values.subjects)) < len(labels) else "video", "status": "ok", "reason": "",
    }  # fmt: skip
    guesses = predict(features, labels, folds, trees, seed)
    p = _p(features, labels, blocks, folds, times=max(19, permutations // 200), trees=trees // _NULL, seed=seed)
    ratio, p_ratio = _distances(features, labels, blocks, permutations, seed)
    accuracy = float((guesses == labels).mean())
    rows = [{"features": "all", "accuracy": accuracy, "p": p, "distance_ratio": ratio, "p_distance": p_ratio, **common}]
    for at, step in enumerate(values.steps):
        of_step = _usable(values.curves[:, at])
        if of_step.shape[1]:
            right = predict(of_step, labels, folds, trees // _STEP, seed) == labels
            rows.append({"features": "step", "step": step, "accuracy": float(right.mean()), **common})
    for a, group in enumerate(groups):
        for b, predicted in enumerate(groups):
            count = int(((labels == a) & (guesses == b)).sum())
            rows.append({"features": "confusion", "group": group, "predicted": predicted, "count": count, **common})
    return rows


def _usable(numbers: Array) -> Array:
    """Columns that every video has, and that differ."""
    kept = ~np.isnan(numbers).any(0)
    found = numbers[:, kept]
    return found[:, np.ptp(found, axis=0) > 0] if len(found) else found


def _folds(labels: Labels, blocks: Labels, seed: int) -> list[Labels]:
    """Places of the videos of each test fold; those of one block lie in one of them."""
    from sklearn.model_selection import StratifiedGroupKFold

    n = min(_FOLDS, len(set(blocks.tolist())), int(np.bincount(labels).min()))
    state = int(stream(seed, "folds", "latents separability").integers(2**31))
    cut = StratifiedGroupKFold(n, shuffle=True, random_state=state)
    return [test for _, test in cut.split(labels[:, None], labels, blocks)]


def predict(features: Array, labels: Labels, folds: Sequence[Labels], trees: int, seed: int) -> Labels:
    """The group of each video as a forest sees it that was trained on the other folds."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    guesses = np.full(len(labels), -1, dtype=np.int64)
    for number, test in enumerate(folds):
        training = np.setdiff1d(np.arange(len(labels)), test)
        state = int(stream(seed, f"fold {number}", "latents forest").integers(2**31))
        parts = min(_COMPONENTS, features.shape[1], len(training) - 1)
        forest = RandomForestClassifier(trees, random_state=state, n_jobs=1)
        model = make_pipeline(StandardScaler(), PCA(parts, svd_solver="full"), forest)
        guesses[test] = model.fit(features[training], labels[training]).predict(features[test])
    return guesses


def shuffled(labels: Labels, blocks: Labels, generator: np.random.Generator) -> Labels:
    """Labels relabelled within blocks of more than one video, and among the videos that are alone in theirs."""
    alone = np.bincount(blocks)[blocks] == 1
    keys = np.where(alone, -1, blocks)
    found = labels.copy()
    for key in np.unique(keys):
        mine = np.flatnonzero(keys == key)
        found[mine] = labels[generator.permutation(mine)]
    return found


def _p(
    features: Array, labels: Labels, blocks: Labels, folds: Sequence[Labels], *, times: int, trees: int, seed: int
) -> float:
    generator = stream(seed, "labels", "latents separability")

    def right(of: Labels) -> float:
        return float((predict(features, of, folds, trees, seed) == of).mean())

    observed = right(labels)
    as_good = sum(right(shuffled(labels, blocks, generator)) >= observed for _ in range(times))
    return (as_good + 1) / (times + 1)


def _distances(features: Array, labels: Labels, blocks: Labels, times: int, seed: int) -> tuple[float, float]:
    """Mean distance of videos of two groups over that within a group, of standardised features, and its p."""
    scaled = (features - features.mean(0)) / features.std(0)
    products = scaled @ scaled.T
    norms = np.diag(products)
    distances = np.sqrt(np.maximum(norms[:, None] + norms[None] - 2.0 * products, 0.0))
    upper = np.triu_indices(len(labels), 1)
    apart = distances[upper]

    def ratio(of: Labels) -> float:
        same = of[upper[0]] == of[upper[1]]
        return float(apart[~same].mean() / apart[same].mean())

    generator = stream(seed, "distances", "latents separability")
    observed = ratio(labels)
    times = min(times, 2000)
    as_far = sum(ratio(shuffled(labels, blocks, generator)) >= observed - 1e-12 for _ in range(times))
    return observed, (as_far + 1) / (times + 1)
