"""Fit one model on one fold, and write what it says of the videos it did not train on."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtake.models.networks.build import ClipNetwork, build, save_network
from longtake.store.tables import write_table
from longtake.streams import stream
from longtake.training import calibrate
from longtake.training.dataset import FoldData, middle_frame, shuffled, video_of
from longtake.training.loop import ClipOf, Fit, Trained, evaluate, train
from longtake.training.recipe import Recipe
from longtake.training.tables import HISTORY, PREDICTIONS
from longtake.unit import Done

log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def graceful() -> Iterator[Callable[[], str]]:
    """Give a function that names the signal which has come, SIGTERM or SIGUSR1, or an empty text.

    Schedulers send one of them some time before they kill; a fit ends between two steps and saves its state. Only the
    main thread hears signals; elsewhere nothing is ever named.
    """
    told: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    before = {
        number: signal.signal(number, lambda got, _: told.append(signal.Signals(got).name)) for number in _SIGNALS
    }
    try:
        yield lambda: told[0] if told else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fit_network(
    data: FoldData,
    recipe: Recipe,
    *,
    unit: str,
    folder: str | Path,
    state: str | Path,
    device: str = "cpu",
    weights: str = "",
    micro_batch: int = 0,
    recompute: bool = False,
    save_every_s: float = 600.0,
    controls: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train a network on a fold, write its folder, and return facts for the job's record.

    Parameters
    ----------
    unit
        Names the fit's random streams.
    folder
        Gets config.json, model.safetensors, history.parquet, predictions.parquet, and of each of `controls`
        (``middle``, ``shuffled``) predictions.CONTROL.parquet.
    state
        Where the state between two steps lies; removed once all is written.
    micro_batch
        Of this attempt; where it is smaller than the recipe's, memory has halved it, and the fit says so.

    Raises
    ------
    SystemExit
        SIGTERM or SIGUSR1 came; the state is saved.
    """
    where, began = torch.device(device), time.monotonic()
    halved = 0 < micro_batch < recipe.micro_batch
    network = build(recipe.network, recipe.seed, weights)
    # The digest of the recipe stays: a halved attempt goes on from the state of the one that ran out of memory.
    run = replace(recipe, micro_batch=micro_batch) if halved else recipe
    fit = Fit(unit, data.train, data.inner, Path(state))
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with graceful() as stopped:
            trained = train(
                network,
                fit,
                run,
                where,
                digest=recipe.digest,
                recompute=recompute,
                stopped=stopped,
                save_every_s=save_every_s,
                progress=progress or (lambda *_: None),
            )
            facts = write_fold(network, trained, data, run, Path(folder), unit=unit, device=where, controls=controls)
    finally:
        torch.use_deterministic_algorithms(deterministic)
    Path(state).unlink(missing_ok=True)
    why = _reasons(recipe, data, micro_batch if halved else 0)
    told = {"status": "approximate" if why else "ok", "reason": "; ".join(why)}
    clips = trained.steps * recipe.batch
    return {
        **facts,
        **told,
        "done": asdict(Done(work=clips, seconds=time.monotonic() - began, load={"micro_batch": run.micro_batch})),
    }


def _reasons(recipe: Recipe, data: FoldData, halved: int) -> list[str]:
    found = []
    if recipe.precision == "bfloat16":
        found.append("trained in bfloat16")
    if halved:
        found.append(f"memory halved the micro-batch to {halved}, which sums in another order")
    if data.approximate:
        found.append(f"{data.approximate} clips have repeated or damaged frames")
    return found


def write_fold(
    network: ClipNetwork,
    trained: Trained,
    data: FoldData,
    recipe: Recipe,
    folder: Path,
    *,
    unit: str,
    device: torch.device,
    controls: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a trained fold's folder; return facts."""
    labels = np.array([clip.label for clip in data.inner])
    temperature = calibrate.temperature(trained.inner_logits, labels)
    cut = 0.5
    if len(data.class_names) == 2:
        cut = calibrate.threshold(calibrate.softmax(trained.inner_logits, temperature)[:, 1], labels)
    best = trained.history[trained.best_epoch]
    about = {"temperature": temperature, "threshold": cut, "best_epoch": trained.best_epoch, "recipe": recipe.digest}
    save_network(network, folder, training=about)
    write_table(folder / "history.parquet", trained.history, HISTORY)
    parts = {"outer": data.outer, "inner": data.inner, "test": data.test}

    def answer(change: Callable[[ClipOf], ClipOf], name: str, parts: Mapping[str, Sequence[ClipOf]]) -> None:
        rows = []
        for part, clips in parts.items():
            if clips:
                found = evaluate(network, [change(clip) for clip in clips], recipe, device).double().numpy()
                rows += prediction_rows(clips, found, data.class_names, temperature, part)
        write_table(folder / name, rows, PREDICTIONS)

    answer(lambda clip: clip, "predictions.parquet", parts)
    for control in controls:
        answer(_disturbed(control, unit, recipe.seed), f"predictions.{control}.parquet", {"outer": data.outer})
    return {"epochs": len(trained.history), "best_epoch": trained.best_epoch, "inner_loss": best["inner_loss"]}


def _disturbed(control: str, unit: str, seed: int) -> Callable[[ClipOf], ClipOf]:
    def change(clip: ClipOf) -> ClipOf:
        def read() -> np.ndarray:
            pixels = clip.read()
            if control == "middle":
                return middle_frame(pixels)
            order = stream(seed, f"{unit} {clip.name}", "shuffled control").permutation(len(pixels))
            return shuffled(pixels, order)

        return ClipOf(clip.name, clip.label, read)

    return change


def prediction_rows(
    clips: Sequence[ClipOf], logits: np.ndarray, names: tuple[str, ...], temperature: float, part: str
) -> list[dict[str, Any]]:
    """Return the rows of `PREDICTIONS` for logits (n, classes)."""
    plain, calibrated = calibrate.softmax(logits), calibrate.softmax(logits, temperature)
    return [
        {
            "video": video_of(clip),
            "label": names[clip.label],
            "logits": logits[number].tolist(),
            "probabilities": plain[number].tolist(),
            "calibrated": calibrated[number].tolist(),
            "part": part,
        }
        for number, clip in enumerate(clips)
    ]
