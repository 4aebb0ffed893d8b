"""What is measured of each species in each video: unit, words, scale and the family of tests it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from longtake.statistics import inference

FROM_MODEL = "gradients"


@dataclass(frozen=True)
class Measure:
    """One number per video and species.

    Attributes
    ----------
    family : where it comes from, and with which measures it shares a family of tests
    scale : that of its interval, see `longtake.statistics.inference.interval`
    role : ``primary`` measures answer the question of their family, and are few and declared before anything is seen;
        ``other`` ones are tested beside them with a rate of false discoveries; ``told`` ones are not tested
    """

    name: str
    unit: str
    words: str
    family: str
    scale: inference.Scale = "identity"
    role: str = "other"


PERTURBED = {
    "shuffle": "frames shuffled",
    "drop-50": "half of the frames lost",
    "drop-75": "three quarters of the frames lost",
    "reverse": "frames reversed",
    "static": "one frame throughout, five in turn",
    "middle": "middle frame throughout",
    "still": "motionless clips against each other",
    "short": "seen in short windows",
}
"""Perturbation -> what was done, in words."""
SOURCES = {"animal": "object", "crop": "region"}
"""Whose motion -> what **clips** calls it: the animal's where its mask is known on every frame, else the crop's."""


def _role(kind: str) -> str:
    """What a model uses is asked of frozen and of shuffled clips."""
    return "primary" if kind in ("static", "shuffle") else "told"


def _perturbed() -> tuple[Measure, ...]:
    found = []
    for kind, words in PERTURBED.items():
        name = kind.replace("-", "_")
        if kind != "short":
            told, kept = f"Gradient over that of the clip, {words}", f"Kept of gradient and answer, {words}"
            found.append(Measure(f"ratio_{name}", "ratio", told, FROM_MODEL, "log", "told"))
            found.append(Measure(f"kept_{name}", "share", kept, FROM_MODEL, "logit", _role(name)))
        if kind not in ("short", "still"):
            scatter = f"Scatter of the ratio over clips and draws, {words}"
            found.append(Measure(f"scatter_{name}", "sd of logarithms", scatter, FROM_MODEL, role="told"))
        if kind != "still":
            same = f"Same class predicted, {words}"
            found.append(Measure(f"cosine_{name}", "cosine", f"Cosine of the logits, {words}", FROM_MODEL, role="told"))
            found.append(Measure(f"agrees_{name}", "share", same, FROM_MODEL, "logit", "told"))
    words = "Importance frame by frame against that in short windows (Pearson)"
    return (*found, Measure("importance_r_short", "r", words, FROM_MODEL, "fisher", "told"))


def _related(whose: str) -> tuple[Measure, ...]:
    """Importance beside the motion of `whose`; what has no natural zero is less its chance level."""
    motion = f"motion of the {whose}"
    peaks = f"Peaks of importance near peaks above chance, {motion}"
    share, lag = f"Clips related to {motion}, p < .05", f"Best lag behind {motion}, of clips where it is sure"
    return (
        Measure(f"pearson_{whose}", "r", f"Importance against {motion} (Pearson)", FROM_MODEL, "fisher", "primary"),
        Measure(f"spearman_{whose}", "r", f"Importance against {motion} (Spearman)", FROM_MODEL, "fisher", "told"),
        Measure(f"size_{whose}", "|r|", f"Size of Pearson's r, {motion}", FROM_MODEL, "logit", "told"),
        Measure(f"related_{whose}", "share of clips", share, FROM_MODEL, "logit", "told"),
        Measure(f"mutual_information_{whose}", "bits", f"Mutual information above chance, {motion}", FROM_MODEL),
        Measure(f"phase_coherence_{whose}", "share", f"Phase coherence above chance, {motion}", FROM_MODEL),
        Measure(f"peak_alignment_{whose}", "share", peaks, FROM_MODEL),
        Measure(f"best_lag_{whose}", "frames", lag, FROM_MODEL, role="told"),
    )


MEASURES: tuple[Measure, ...] = (
    Measure("n_objects", "objects", "Objects per video", "annotation", "log"),
    Measure("max_count", "objects", "Most at once (MaxN)", "annotation", "log", role="told"),
    Measure("max_per_10s", "objects", "Most at once in each ten seconds, mean", "annotation", "log", role="primary"),
    Measure("mean_count", "objects", "Mean count per processed frame", "annotation", "log"),
    Measure("presence", "share", "Share of frames looked at with the species", "annotation", "logit", role="primary"),
    Measure("dwell_s", "s", "Dwell time, all objects", "annotation", "log", "told"),
    Measure("dwell_share", "s/s", "Dwell time per second looked at, all objects", "annotation", "log"),
    Measure("visit_s", "s", "Length of a visit", "annotation", "log"),
    Measure("entries", "entries", "Entries seen", "annotation", "log", "told"),
    Measure("exits", "exits", "Exits seen", "annotation", "log", "told"),
    Measure("entries_per_min", "entries/min", "Entries seen per minute looked at", "annotation", "log"),
    Measure("exits_per_min", "exits/min", "Exits seen per minute looked at", "annotation", "log"),
    Measure("area_px", "px²", "Mask area", "annotation", "log"),
    Measure("box_diagonal_px", "px", "Box diagonal", "annotation", "log"),
    Measure("speed_px_s", "px/s", "Speed", "annotation", "log"),
    Measure("speed_noise_px_s", "px/s", "Speed that noise alone would show", "annotation", "log", "told"),
    Measure("speed_bl_s", "body lengths/s", "Speed in body lengths", "annotation", "log", role="primary"),
    Measure("importance_mean", "score per full range of grey", "Mean temporal importance", FROM_MODEL, "log"),
    Measure("importance_variation", "ratio", "Variation of importance over a clip", FROM_MODEL, "log"),
    Measure("importance_autocorrelation", "r", "Lag-1 autocorrelation of importance", FROM_MODEL, "fisher"),
    Measure("importance_peaks", "peaks", "Peaks of importance per clip", FROM_MODEL, "log"),
    *(measure for whose in SOURCES for measure in _related(whose)),
    Measure("correct", "share", "Clips with the right species predicted", FROM_MODEL, "logit"),
    *_perturbed(),
)

CLIP_COLUMNS = {
    "importance_mean": "mean",
    "importance_variation": "variation",
    "importance_autocorrelation": "autocorrelation",
    "importance_peaks": "n_peaks",
}
"""Measure -> the column of CLIPS that is averaged over the clips of an object, and then over objects."""
