"""The maps of a volume, family by family: at layers, at the input, from noisy copies, along a path."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from longtake.attribution.cams import VANISHED, Cam, cam, enlarged
from longtake.attribution.case import Case, Map
from longtake.attribution.layers import behind
from longtake.attribution.noise import drawn_moments, noisy, smoothgrad, standard_error, vargrad
from longtake.attribution.options import CAMS, NOISE
from longtake.attribution.path import baseline_of, integrated
from longtake.attribution.target import Target
from longtake.bounded import Gradient
from longtake.errors import BudgetError, LongtakeError, ModelError, UnreadableVolume

logger = logging.getLogger(__name__)


def maps_of(case: Case) -> Iterator[Map]:
    """The maps, one by one; a method that fails gives a map without values, whose row says why."""
    asked = case.options.asked
    for layer in case.layers:
        for target in case.targets:
            methods = [method for method in asked if method in CAMS]
            yield from _guarded(case, methods, layer, target, _cams)
    families: list[tuple[list[str], Callable[..., Iterator[Map]]]] = [
        (["saliency"] if "saliency" in asked else [], _saliency),
        ([method for method in asked if method in NOISE], _noise),
        (["integrated_gradients"] if "integrated_gradients" in asked else [], _path),
    ]
    for methods, family in families:
        for target in case.targets if methods else ():
            yield from _guarded(case, methods, "", target, family)


def _guarded(
    case: Case, methods: list[str], layer: str, target: Target, family: Callable[..., Iterator[Map]]
) -> Iterator[Map]:
    """The maps of a family; where it cannot be computed, one that failed for each method that is left."""
    left = list(methods)
    try:
        for found in family(case, methods, layer, target):
            left.remove(found.method)
            yield found
    except (BudgetError, ModelError):
        raise  # no volume and no method can be done with them
    except LongtakeError as error:
        logger.warning("%s, %s: %s", case.row.volume, ", ".join(left), error)
        for method in left:
            yield Map(method, layer, target, {"status": "failed", "reason": str(error)})


def _cams(case: Case, methods: list[str], layer: str, target: Target) -> Iterator[Map]:
    found = _same_answer(case, case.exact.gradient(case.given, target, layer=layer))
    activations, gradients = found.at[0], found.gradient[0]
    size = tuple(case.given.shape[2:])
    for method in methods:
        made = cam(method, activations, gradients)
        row = {
            "status": "ok",
            "weight_ratio": made.weight_ratio,
            "negative_share": made.negative,
            "way": found.way.name,
        }
        row["reason"] = ""
        each = Map(method, layer, target, row)
        why = _void(case, made, layer)
        if why:
            row |= {"status": "failed", "reason": why}
        else:
            each.cells = made.values.cpu().numpy()
            each.values = enlarged(made.values, size).cpu().numpy()
        yield each


def _same_answer(case: Case, found: Gradient) -> Gradient:
    """The gradient, if its pass gave the scores that the first one did.

    Raises
    ------
    ModelError : it did not.
    """
    again = found.outputs.detach().cpu()
    if not torch.allclose(again, case.scores, rtol=1e-3, atol=1e-4 * float(case.scores.abs().max())):
        raise ModelError(
            f"volume {case.row.volume!r}: two calls of the model give {case.scores.tolist()} and {again.tolist()}. It "
            "draws random numbers or keeps state: switch that off in your factory."
        )
    return found


def _void(case: Case, made: Cam, layer: str) -> str:
    """Why weights are rounding noise; empty where they are none."""
    if made.weight_ratio is None or made.weight_ratio == 0 or made.weight_ratio >= VANISHED:
        return ""
    instead = behind(case.exact.model, case.given, layer)
    hint = f" Set attribution.layer to {instead!r}, the layer behind it." if instead else ""
    return (
        f"weights vanish at {layer!r}: the largest channel mean of the gradient is {made.weight_ratio:.1e} of its mean "
        f"size, which is rounding. So it is directly before an instance norm, whose gradients have no mean.{hint}"
    )


def _saliency(case: Case, _methods: list[str], _layer: str, target: Target) -> Iterator[Map]:
    found = _same_answer(case, case.exact.gradient(case.given, target))
    values = found.gradient[0].abs().sum(0).float().cpu().numpy()
    yield Map("saliency", "", target, {"status": "ok", "reason": "", "way": found.way.name}, values)


def _noise(case: Case, methods: list[str], _layer: str, target: Target) -> Iterator[Map]:
    options, given = case.options, case.given
    spread = float(given.max() - given.min())
    if not spread:
        raise UnreadableVolume(
            f"volume {case.row.volume!r} is constant ({float(given.max()):g}), so noise relative to its range is none. "
            "Leave it out, or ask for other methods."
        )
    sigma = options.noise_level * spread

    def gradient(draw: int) -> Tensor:
        copy = noisy(given, sigma, seed=case.seed, volume=case.row.volume, draw=draw)
        return case.exact.gradient(copy, target, measure=draw == 0).gradient

    folder = case.work / f"noise-{target.index}-{target.contrast}"
    moments = drawn_moments(
        gradient,
        shape=tuple(given.shape[1:]),
        draws=options.n_samples,
        folder=folder,
        key=case.key("noise", sigma, target),
        told=case.told,
    )
    error = standard_error(moments)
    made = {"smoothgrad": smoothgrad, "vargrad": vargrad}
    for method in methods:
        row = {"status": "ok", "reason": "", "sigma": sigma, "n": options.n_samples, "standard_error": error}
        row["way"] = case.exact.peak[1]
        yield Map(method, "", target, row, made[method](moments))


def _path(case: Case, _methods: list[str], _layer: str, target: Target) -> Iterator[Map]:
    options, given = case.options, case.given
    start = baseline_of(given, options.baseline)
    with torch.no_grad():
        difference = float(
            target(case.scores.double()) - target(case.exact.scores(start.expand_as(given)).double().cpu())
        )
    found = integrated(
        lambda at: case.exact.gradient(at, target, measure=False).gradient,
        given,
        start,
        difference,
        steps=options.ig_steps,
        folder=case.work / f"path-{target.index}-{target.contrast}",
        key=case.key("path", options.ig_steps, options.baseline, target),
        told=case.told,
    )
    row = {"status": "ok", "reason": "", "completeness": found.gap, "n": options.ig_steps, "way": case.exact.peak[1]}
    if found.gap > options.completeness:
        row["status"] = "approximate"
        row["reason"] = (
            f"integrated gradients add up to {found.total:.4g}, the scores differ by {difference:.4g}: off by "
            f"{found.gap:.1%}, more than attribution.completeness. Use more ig_steps, or another baseline: for a net "
            "that begins with an instance norm, scaling down to zero changes nothing until the end."
        )
    yield Map("integrated_gradients", "", target, row, found.values)
