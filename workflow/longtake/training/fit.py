"""Fit one model on one fold, and write what it says of the videos it did not train on."""

from __future__ import annotations

import json
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

from longtake.models.networks.build import ClipNetwork, build, load_network, save_network
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
    asked_micro_batch: int = 0,
    recompute: bool = False,
    save_every_s: float = 600.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train a network on a fold, write its folder (config.json, model.safetensors, history.parquet), return facts.

    Parameters
    ----------
    recipe
        With the micro-batch of this attempt.
    unit
        Names the fit's random streams.
    state
        Where the state between two steps lies; removed once all is written.
    asked_micro_batch
        What the settings ask for; 0 where the plan chooses, so that a state is gone on from whatever it chose.

    Raises
    ------
    SystemExit
        SIGTERM or SIGUSR1 came; the state is saved.
    """
    where, began = torch.device(device), time.monotonic()
    network = build(recipe.network, recipe.seed, weights)
    fit = Fit(unit, data.train, data.inner, Path(state))
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with graceful() as stopped:
            trained = train(
                network,
                fit,
                recipe,
                where,
                digest=replace(recipe, micro_batch=asked_micro_batch or recipe.batch).digest,
                recompute=recompute,
                stopped=stopped,
                save_every_s=save_every_s,
                progress=progress or (lambda *_: None),
            )
    finally:
        torch.use_deterministic_algorithms(deterministic)
    write_fold(network, trained, data, recipe, Path(folder))
    Path(state).unlink(missing_ok=True)
    why = reasons(recipe, data, trained)
    clips = trained.steps * recipe.batch
    load = {"micro_batch": trained.planned}
    return {
        "status": "approximate" if why else "ok",
        "reason": "; ".join(why),
        "epochs": len(trained.history),
        "best_epoch": trained.best_epoch,
        "inner_loss": trained.history[trained.best_epoch]["inner_loss"],
        "done": asdict(Done(work=clips, seconds=time.monotonic() - began, load=load)),
    }


def reasons(recipe: Recipe, data: FoldData, trained: Trained) -> list[str]:
    """Say why a fold is approximate; nothing for one that is exact."""
    found = []
    if recipe.precision == "bfloat16":
        found.append("trained in bfloat16")
    if trained.micro_batch < trained.planned:
        found.append(
            f"memory halved the micro-batch from {trained.planned} to {trained.micro_batch}; sums have another order"
        )
    if data.approximate:
        found.append(f"{data.approximate} clips have repeated or damaged frames")
    return found


def write_fold(network: ClipNetwork, trained: Trained, data: FoldData, recipe: Recipe, folder: Path) -> None:
    """Write a trained fold's folder, with the temperature and the threshold that its inner split gives."""
    labels = np.array([clip.label for clip in data.inner])
    temperature = calibrate.temperature(trained.inner_logits, labels)
    cut = 0.5
    if len(data.class_names) == 2:
        cut = calibrate.threshold(calibrate.softmax(trained.inner_logits, temperature)[:, 1], labels)
    why = reasons(recipe, data, trained)
    about = {
        "temperature": temperature,
        "threshold": cut,
        "best_epoch": trained.best_epoch,
        "micro_batch": trained.micro_batch,
        "precision": recipe.precision,
        "status": "approximate" if why else "ok",
        "reason": "; ".join(why),
    }
    save_network(network, folder, training=about)
    write_table(folder / "history.parquet", trained.history, HISTORY)


def predict_fold(
    data: FoldData,
    folder: str | Path,
    *,
    unit: str,
    seed: int,
    out: Mapping[str, str | Path],
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write what a trained fold says of the videos that it did not train on (`PREDICTIONS`).

    Parameters
    ----------
    out
        By control: "" for the clips as they are, ``middle`` for the middle frame at every place, ``shuffled`` for
        frames in another order; the latter two of the outer part alone.
    """
    began, where = time.monotonic(), torch.device(device)
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    model = load_network(Path(folder), config, where)
    about = config["training"]
    done = 0
    total = len(data.inner) + len(data.test) + len(data.outer) * len(out)
    for control, path in out.items():
        rows = []
        parts = {"outer": data.outer} if control else {"outer": data.outer, "inner": data.inner, "test": data.test}
        for part, clips in parts.items():
            changed = [_disturbed(clip, control, unit, seed) for clip in clips] if control else clips
            if changed:
                found = evaluate(model.network, changed, about["precision"], where).double().numpy()
                rows += prediction_rows(clips, found, data.class_names, about["temperature"], part)
                done += len(clips)
                if progress:
                    progress(done, total)
        write_table(path, rows, PREDICTIONS)
    return {"status": "ok", "reason": "", "done": asdict(Done(work=done, seconds=time.monotonic() - began))}


def _disturbed(clip: ClipOf, control: str, unit: str, seed: int) -> ClipOf:
    def read() -> np.ndarray:
        pixels = clip.read()
        if control == "middle":
            return middle_frame(pixels)
        order = stream(seed, f"{unit} {clip.name}", "shuffled control").permutation(len(pixels))
        return shuffled(pixels, order)

    return ClipOf(clip.name, clip.label, read)


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
