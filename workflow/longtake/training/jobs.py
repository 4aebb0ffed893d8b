"""What the scripts of training call: plain paths and settings in, files out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from longtake.models.networks.build import NetworkConfig, describe
from longtake.supervise.ladder import AS_ASKED, Rung, on_the_cpu
from longtake.training.baseline import fit_baseline, read_features
from longtake.training.clips import Spec, make_shard
from longtake.training.dataset import FoldData, fold_data, read_clips, read_folds
from longtake.training.evaluate import Piece, evaluate
from longtake.training.fit import fit_network, predict_fold
from longtake.training.options import Options
from longtake.training.recipe import Recipe, micro_batches
from longtake.training.sampling import Sampling

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None] | None
UNPLANNED = 4
"""Clips in memory at a time where no plan has said how many fit."""


def samplings(options: Options) -> tuple[Sampling, ...]:
    """Return the lengths and sizes of clips that the networks of the settings want, each once."""
    wanted = {(own["frames"], own["size"]) for name in options.networks if (own := options.of(name))}
    wanted = wanted or {(options.frames, options.size)}
    return tuple(Sampling(frames, size, options.fit, options.short) for frames, size in sorted(wanted))


def clips_job(
    *, videos: Sequence[Sequence[str]], options: Mapping[str, Any], seed: int, progress: Progress = None, **paths: Any
) -> dict[str, Any]:
    """Make the clips of one shard (`longtake.training.clips.make_shard`)."""
    settings = Options(**options)
    spec = Spec(samplings(settings), settings.augmentations, settings.operations(), seed, settings.compression)
    return make_shard([(video, path) for video, path in videos], spec, progress=progress, **paths)


def recipe_of(options: Options, model: str, names: tuple[str, ...], micro_batch: int, seed: int) -> Recipe:
    """Return what decides the numbers of one network's training."""
    own = options.of(model)
    return Recipe(
        network_of(options, model, names),
        weights=own["weights"],
        seed=seed,
        batch=own["batch"],
        micro_batch=micro_batch,
        epochs=own["epochs"],
        patience=options.patience,
        learning_rate=own["learning_rate"],
        weight_decay=own["weight_decay"],
        schedule=options.schedule,
        class_weights=options.class_weights,
        precision=own["precision"],
        freeze=own["freeze"],
    )


def network_of(options: Options, model: str, names: tuple[str, ...]) -> NetworkConfig:
    """Return the configuration of one of the networks."""
    own = options.of(model)
    dropout = {"dropout": own["dropout"]} if own["dropout"] >= 0 else {}
    return describe(model, names, own["frames"], own["size"], own["weights"], norm=own["norm"], **dropout)


def fit_job(
    *,
    options: Mapping[str, Any],
    model: str,
    unit: int,
    clips: str,
    folds: str,
    store: str,
    folder: str,
    state: str,
    seed: int,
    device: str,
    micro_batch: int,
    recompute: bool = False,
    save_every_s: float = 600.0,
    progress: Progress = None,
) -> dict[str, Any]:
    """Fit one network on one fold (`longtake.training.fit.fit_network`); `unit` counts folds over repeats."""
    settings = Options(**options)
    data = _data(settings, model, unit, clips, folds, store=store)
    own = settings.of(model)
    recipe = recipe_of(settings, model, data.class_names, micro_batch, seed)
    return fit_network(
        data,
        recipe,
        unit=_stream(model, settings, unit),
        folder=folder,
        state=state,
        device=device,
        weights=own["weights"],
        asked_micro_batch=own["micro_batch"],
        recompute=recompute,
        save_every_s=save_every_s,
        progress=progress,
    )


def planned_micro_batch(options: Mapping[str, Any], model: str, chunk: int | None) -> int:
    """Return the clips in memory at a time: as the settings ask, else as the plan has it, a divisor of the batch."""
    own = Options(**options).of(model)
    return micro_batches(own["batch"], own["micro_batch"] or chunk or UNPLANNED)[0]


def ladder(arguments: Mapping[str, Any]) -> list[Rung]:
    """Return the ways to fit: as asked, with activations recomputed (the same bits), smaller micro-batches, the CPU.

    No clip is skipped on any of them. A smaller micro-batch sums in another order, and the fold says so.
    """
    rungs = [AS_ASKED]
    if not arguments["recompute"]:
        rungs.append(Rung("activations recomputed", {"recompute": True}))
    micro_batch = int(arguments["micro_batch"])
    while micro_batch > 1:
        micro_batch = max(number for number in range(1, micro_batch) if micro_batch % number == 0)
        rungs.append(Rung(f"{micro_batch} clips at a time", {"recompute": True, "micro_batch": micro_batch}))
    return [*rungs, *on_the_cpu(arguments)]


def predict_job(
    *,
    options: Mapping[str, Any],
    model: str,
    unit: int,
    clips: str,
    folds: str,
    store: str,
    folder: str,
    seed: int,
    device: str,
    out: Mapping[str, str],
    progress: Progress = None,
) -> dict[str, Any]:
    """Let a trained fold predict (`longtake.training.fit.predict_fold`)."""
    settings = Options(**options)
    data = _data(settings, model, unit, clips, folds, store=store)
    name = _stream(model, settings, unit)
    return predict_fold(data, folder, unit=name, seed=seed, out=out, device=device, progress=progress)


def baseline_job(
    *, options: Mapping[str, Any], model: str, unit: int, folds: str, features: Sequence[str], folder: str, seed: int
) -> dict[str, Any]:
    """Fit a model on features on one fold, or one of the controls ``permuted`` and ``metadata``."""
    settings = Options(**options)
    repeat, fold = divmod(unit, settings.folds)
    control = model if model in ("permuted", "metadata") else ""
    return fit_baseline(
        "logistic_regression" if control else model,
        read_features(features),
        read_folds(folds),
        repeat=repeat,
        fold=fold,
        folder=folder,
        class_weights=settings.class_weights,
        seed=seed,
        control=control,
    )


def evaluate_job(
    *, options: Mapping[str, Any], results: str, folds: str, seed: int, out: Mapping[str, str]
) -> dict[str, Any]:
    """Put all folds of all models together (`longtake.training.evaluate.evaluate`)."""
    settings = Options(**options)
    return evaluate(list(pieces(settings, Path(results))), folds, out=out, folds=settings.folds, seed=seed)


def pieces(options: Options, results: Path) -> list[Piece]:
    """Return every fold of every model and control, with what its folder says of it; missing ones as ``failed``."""
    import json

    found = []
    for model, control, folder, name in _families(options, results):
        for unit in range(options.repeats * options.folds):
            repeat, fold = divmod(unit, options.folds)
            path = folder / f"fold-{unit}" / name
            try:
                about = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))["training"]
                missing = not path.exists()
            except (OSError, ValueError, KeyError):
                about, missing = {}, True
            status = "failed" if missing else about.get("status", "ok")
            reason = "this fold is not there" if missing else about.get("reason", "")
            cut = float(about.get("threshold", 0.5))
            found.append(Piece(model, control, repeat, fold, path, status, reason, cut))
    return found


def _families(options: Options, results: Path) -> list[tuple[str, str, Path, str]]:
    plain = "predictions.parquet"
    found = [(model, "", results / model, plain) for model in options.names]
    for control in options.controls:
        if control in ("permuted", "metadata"):
            found.append(("logistic_regression", control, results / control, plain))
        else:
            found += [(model, control, results / model, f"predictions.{control}.parquet") for model in options.networks]
    return found


def _data(options: Options, model: str, unit: int, clips: str, folds: str, *, store: str) -> FoldData:
    own = options.of(model)
    spec = Sampling(own["frames"], own["size"]).name
    repeat, fold = divmod(unit, options.folds)
    return fold_data(read_clips([clips], spec), read_folds(folds), repeat, fold, store=store)


def _stream(model: str, options: Options, unit: int) -> str:
    """The name of a fit's random streams: of the model, the repeat and the fold, and nothing of paths or jobs."""
    repeat, fold = divmod(unit, options.folds)
    return f"{model}, repeat {repeat}, fold {fold}"
