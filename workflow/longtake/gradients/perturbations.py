"""What a model does with a clip whose frames are shuffled, dropped, reversed or frozen.

A disturbed clip has as many frames as the clip; each of its places shows one of the clip's frames:

=========  =======================================================================================================
shuffle    all frames in random order, several times over
drop-50    half of the frames, drawn at random, are lost: the last one that was kept is shown instead, as when a
drop-75    recording stalls; or three quarters of them. The first frame is always kept
reverse    the last frame first
static     one frame at every place, several times over, each time another frame from the first to the last
middle     the middle frame at every place: one frame against the sequence
still      two of the ``static`` clips, compared with each other: what remains where nothing moves in either
=========  =======================================================================================================

The score of the same class is differentiated again, by the whole disturbed clip. A place is compared with the frame
that it shows: with |g_t| the magnitude of frame t in the clip and |h_p| that of place p in the disturbed one, which
shows frame s(p), the ratio is median_p |h_p| / |g_s(p)|. Frames that do not count (|g_t| below a millionth of the
largest) have no ratio. A motionless clip shows one frame, and that may not count in the clip, or count at one place
only (the largest over time): what is kept of such clips goes by `total`, sum_p |h_p| / sum_t |g_t|, averaged over the
frames that were shown, so that no frame stands for the others.

Of the answers, the cosine of the logits says whether they point the same way, whatever their size. How much of the
answer is left is a . b / a . a, for the logits a of the clip and b of the disturbed one, each less its mean over the
classes, which no softmax sees: 1 if they are equal, 0 if nothing speaks for the same classes any more, negative if it
speaks against them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from longtake.errors import AnswerError, BudgetError, LongtakeError
from longtake.gradients.attribution import ClipAttribution, attribute_clip
from longtake.gradients.planner import Planner
from longtake.gradients.relation import pearson
from longtake.models import ClipModel
from longtake.status import Status
from longtake.supervise.child import out_of_memory
from longtake.verdicts import band, kept

STATIC, MIDDLE, REVERSE, SHUFFLE, SHORT, STILL = "static", "middle", "reverse", "shuffle", "short", "still"
DROPPED = {"drop-50": 0.5, "drop-75": 0.75}
NEGLIGIBLE = 1e-6
NOT_FINITE = "the model's gradient is not finite"
FROZEN = 5
"""At how many frames a clip is frozen: one alone would be compared with other frames, and what differs between them
would be taken for motion."""


@dataclass(frozen=True)
class Disturbed:
    """A disturbed clip.

    Attributes
    ----------
    name, repeat : which perturbation, and which draw of it
    shown : (T,) int64, the frame of the clip at each place
    """

    name: str
    repeat: int
    shown: np.ndarray


def disturb(
    n_frames: int, names: Sequence[str], shuffles: int, draws: Callable[[str], np.random.Generator]
) -> Iterator[Disturbed]:
    """Disturb a clip of `n_frames` in each way of `names`.

    Parameters
    ----------
    shuffles : how often the frames are shuffled
    draws : purpose -> the generator for it, so that a draw depends on nothing that was drawn before
    """
    own = np.arange(n_frames)
    for name in names:
        if name == SHUFFLE:
            for repeat in range(shuffles):
                yield Disturbed(name, repeat, draws(f"{SHUFFLE} {repeat}").permutation(n_frames))
        elif name == REVERSE:
            yield Disturbed(name, 0, own[::-1])
        elif name in DROPPED:
            yield Disturbed(name, 0, stalled(n_frames, DROPPED[name], draws(name)))
        elif name == STATIC:
            for repeat, frame in enumerate(frozen_at(n_frames)):
                yield Disturbed(name, repeat, np.full(n_frames, frame))
        else:
            yield Disturbed(name, 0, np.full(n_frames, n_frames // 2))


def frozen_at(n_frames: int) -> list[int]:
    """The frames at which a clip is frozen: `FROZEN`, or all there are, evenly from the first to the last."""
    return np.unique(np.linspace(0, n_frames - 1, FROZEN).round().astype(int)).tolist()


def stalled(n_frames: int, lost: float, rng: np.random.Generator) -> np.ndarray:
    """The frame shown at each place (T,) when a share `lost` of the frames is lost; see the module."""
    n_kept = n_frames - round(lost * n_frames)
    held = np.zeros(n_frames, dtype=np.int64)
    others = 1 + rng.permutation(n_frames - 1)[: max(0, n_kept - 1)]
    held[others] = others
    return np.maximum.accumulate(held)


def perturbation_rows(
    model: ClipModel,
    pixels: np.ndarray,
    found: ClipAttribution,
    *,
    names: Sequence[str],
    shuffles: int,
    short: int,
    draws: Callable[[str], np.random.Generator],
    planner: Planner | None = None,
) -> list[dict[str, Any]]:
    """Disturb a clip in every asked way, differentiate it again, and compare: columns of PERTURBATIONS.

    Parameters
    ----------
    pixels : (T, h, w, 3) uint8 RGB, at the model's size
    found : of the clip itself
    planner : as `attribute_clip` takes it
    short : frames of the windows that the clip is cut into for the comparison `short`; 0 leaves it out

    Memory: one more copy of the pixels, and what one clip's gradient needs.
    """
    again = partial(_again, model, found, planner)
    rows, motionless = [], []
    for clip in disturb(len(pixels), names, shuffles, draws):
        try:
            answered = again(pixels[clip.shown])
        except AnswerError as error:
            rows.append(_failed(clip, str(error)))
            continue
        if not all(np.isfinite(each).all() for each in (answered.maps, answered.scores)):
            rows.append(_failed(clip, NOT_FINITE))
            continue
        rows.append(_row(model, clip, found, answered))
        if clip.name == STATIC:
            motionless.append((float(magnitudes(answered).sum()), answered.scores))
    if len(motionless) > 1:
        rows.append({"perturbation": STILL, "repeat": 0, "n_frames": len(pixels)} | still(motionless, found.scores))
    if short:
        rows.append(_short_row(again, pixels, found, short))
    return rows


def _again(model: ClipModel, found: ClipAttribution, planner: Planner | None, pixels: np.ndarray) -> ClipAttribution:
    unknown: list[np.ndarray | None] = [None] * len(pixels)
    return attribute_clip(model, pixels, unknown, target=found.target, planner=planner)


def _row(model: ClipModel, clip: Disturbed, found: ClipAttribution, again: ClipAttribution) -> dict[str, Any]:
    before, after = magnitudes(found), magnitudes(again)
    ratio, total = median_ratio(after, before[clip.shown]), total_ratio(after, before)
    answer, share = answer_left(found.scores, again.scores), kept_ratio(clip.name, ratio, total)
    return {
        "perturbation": clip.name,
        "repeat": clip.repeat,
        "status": Status.OK,
        "n_frames": len(before),
        "score": float(again.scores[found.target]),
        "predicted": again.predicted,
        "predicted_name": model.class_names[again.predicted],
        "agrees": float(again.predicted == found.predicted),
        "logit_cosine": cosine_similarity(found.scores, again.scores),
        "answer": answer,
        "answer_power": answer_power(found.scores),
        "ratio": ratio,
        "total": total,
        "importance_r": pearson(after, before[clip.shown]),
        "kept": kept(share, answer),
        "band": band(kept(share, answer)),
    }


def _failed(clip: Disturbed, reason: str) -> dict[str, Any]:
    row = {"perturbation": clip.name, "repeat": clip.repeat, "n_frames": len(clip.shown)}
    return row | {"status": "failed", "reason": reason}


def kept_ratio(name: str, ratio: float | None, total: float | None) -> float | None:
    """The ratio of gradients by which is judged what was kept; see the module."""
    return total if name in (STATIC, MIDDLE) else ratio


def still(motionless: Sequence[tuple[float, np.ndarray]], before: np.ndarray) -> dict[str, Any]:
    """What motionless clips keep of each other: columns of PERTURBATIONS.

    `ratio` is exp of the mean of -|log| over all pairs of totals, `answer` a . b / b . b over all pairs together. It is
    the null of ``static``: frames differ, so even where nothing moves less than all is kept. Empty where the model says
    nothing of motionless clips.

    Parameters
    ----------
    motionless : of each the sum of magnitudes, and the answer (classes,)
    before : the answer to the clip itself
    """
    totals = np.array([total for total, _ in motionless])
    answers = np.array([scores - scores.mean() for _, scores in motionless])
    ratio = answer = None
    if (totals > 0).all():
        logs = np.log(totals)
        first, second = np.triu_indices(len(logs), 1)
        ratio = float(np.exp(-np.abs(logs[first] - logs[second]).mean()))
    products = answers @ answers.T
    power = float(np.trace(products))
    if power > NEGLIGIBLE * len(answers) * answer_power(before):
        answer = float(products.sum() - power) / (power * (len(answers) - 1))
    return {"status": "ok", "ratio": ratio, "answer": answer, "kept": kept(ratio, answer)}


def short_windows(n_frames: int, length: int) -> list[tuple[int, int]]:
    """[start, stop) of consecutive windows of `length` that cover a clip; the last begins early enough to be whole."""
    starts = range(0, n_frames, length)
    return [(min(start, n_frames - length), min(start, n_frames - length) + length) for start in starts]


def _short_row(
    again: Callable[[np.ndarray], ClipAttribution], pixels: np.ndarray, found: ClipAttribution, length: int
) -> dict[str, Any]:
    """The same clip seen in short windows: mean score and cosine, share that agree, importance of each frame once.

    Magnitudes of a shorter clip are on another scale (a mean over fewer frames), so there is no ratio.
    """
    row = {"perturbation": SHORT, "repeat": 0, "n_frames": length}
    if length >= len(pixels):
        return row | {"status": Status.FAILED, "reason": f"{length} frames are no shorter than the clip"}
    windows = short_windows(len(pixels), length)
    answers = []
    for start, stop in windows:
        try:
            answers.append(again(pixels[start:stop]))
        except (torch.OutOfMemoryError, BudgetError):
            raise
        except (LongtakeError, RuntimeError, ValueError, IndexError) as error:
            if out_of_memory(error):
                raise
            # Whether a model takes another length is its own affair, and told by its own kind of error.
            return row | {"status": Status.FAILED, "reason": f"the model does not take {length} frames: {error}"}
    importance = joined(windows, [magnitudes(answer) for answer in answers])
    cosines = [cosine_similarity(found.scores, answer.scores) for answer in answers]
    known = [cosine for cosine in cosines if cosine is not None]
    return row | {
        "status": Status.OK,
        "score": float(np.mean([answer.scores[found.target] for answer in answers])),
        "agrees": float(np.mean([answer.predicted == found.predicted for answer in answers])),
        "logit_cosine": float(np.mean(known)) if known else None,
        "importance_r": pearson(importance, magnitudes(found)),
    }


def joined(windows: Sequence[tuple[int, int]], curves: Sequence[np.ndarray]) -> np.ndarray:
    """One curve of the curves of consecutive windows [start, stop): where two overlap, the earlier one counts."""
    whole = np.empty(windows[-1][1])
    for (start, stop), curve in reversed(list(zip(windows, curves, strict=True))):
        whole[start:stop] = curve
    return whole


def magnitudes(found: ClipAttribution) -> np.ndarray:
    """Magnitude of every frame: (T,) float64."""
    return np.array([frame.magnitude for frame in found.importance])


def median_ratio(after: np.ndarray, before: np.ndarray) -> float | None:
    """median_t after_t / before_t over the frames that count; None if none does."""
    counts = before > NEGLIGIBLE * before.max()
    return float(np.median(after[counts] / before[counts])) if counts.any() else None


def total_ratio(after: np.ndarray, before: np.ndarray) -> float | None:
    """sum after / sum before; None if nothing counted."""
    whole = float(before.sum())
    return float(after.sum()) / whole if whole > 0 else None


def cosine_similarity(before: np.ndarray, after: np.ndarray) -> float | None:
    """Cosine of two answers (classes,); 0 if only the disturbed one is zero throughout, None if the first is."""
    length = math.sqrt(float(before @ before) * float(after @ after))
    if length == 0:
        return 0.0 if np.any(before) else None
    return float(np.clip(before @ after / length, -1.0, 1.0))


def answer_left(before: np.ndarray, after: np.ndarray) -> float | None:
    """How much of the answer (classes,) is left in another one; None if it prefers no class. See the module."""
    a, b = before - before.mean(), after - after.mean()
    power = float(a @ a)
    return float(a @ b) / power if power > 0 else None


def answer_power(scores: np.ndarray) -> float:
    """How much an answer (classes,) prefers classes, a . a: by it `answer_left` of several clips is averaged."""
    return float(np.square(scores - scores.mean()).sum())
