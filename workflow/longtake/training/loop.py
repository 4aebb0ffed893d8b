"""The training loop: exact accumulation, keyed draws, early stopping on the inner split, and a state between steps."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from longtake.errors import TrainingError
from longtake.memory.ledger import holds, stage
from longtake.models.networks.build import ClipNetwork
from longtake.streams import stream
from longtake.training.accumulate import accumulate, logits, recomputed
from longtake.training.recipe import Recipe
from longtake.training.state import Position, load_state, save_state

log = logging.getLogger(__name__)
_HEADS = ("proj", "gru", "transformer", "norm", "dropout", "blocks.6", "blocks.5.proj")


@dataclass(frozen=True)
class ClipOf:
    """A clip that can be trained on: its name ("video#0"), class, and how it is read (T, H, W, 3) uint8."""

    name: str
    label: int
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Fit:
    """The clips to train on and to stop by, the name of the unit for its random streams, and where its state lies."""

    unit: str
    train: Sequence[ClipOf]
    inner: Sequence[ClipOf]
    state: Path


@dataclass(frozen=True)
class Trained:
    """The best epoch's weights are in the network; the inner split's logits (n, classes) are of them.

    `planned` is the micro-batch that the fit began with, `micro_batch` the one it ended with.
    """

    history: list[dict[str, Any]]
    best_epoch: int
    inner_logits: np.ndarray
    steps: int
    planned: int
    micro_batch: int


Stopped = Callable[[], str]
"""Says which signal has come, or an empty text."""


def train(
    network: ClipNetwork,
    fit: Fit,
    recipe: Recipe,
    device: torch.device,
    *,
    digest: str = "",
    recompute: bool = False,
    stopped: Stopped = lambda: "",
    save_every_s: float = 600.0,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Trained:
    """Train until the epochs are over or the inner loss has not fallen for `patience` of them.

    Memory: the network, its gradients and the optimiser's two moments, the best weights, one micro-batch's activations.

    Parameters
    ----------
    digest
        Of the recipe whose state may be gone on from; by default of `recipe`.
    recompute
        Blocks recompute their activations; the gradients stay the same to the bit.
    stopped
        Asked after every optimiser step: once it names a signal, the state is saved and `SystemExit` is raised.
    save_every_s
        Seconds between two states.
    progress
        Called with (optimiser steps done, of all epochs).

    Raises
    ------
    TrainingError
        The loss is not finite; the clips of the batch and the learning rate are named.
    SystemExit
        A signal has come; the same call goes on where this one stopped, to the same bytes.
    """
    run = _Run(network, fit, recipe, device, digest or recipe.digest)
    run.resume()
    steps = run.steps_per_epoch
    saved = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(recomputed(network, active=recompute))
        stack.enter_context(stage("train"))
        for owner, nbytes in run.held().items():
            stack.enter_context(holds(owner, nbytes, gpu=device.type == "cuda" and owner != "cache"))
        while run.position.epoch < recipe.epochs and not run.patience_is_over():
            order = run.order()
            while run.position.step < steps:
                run.one_step(order)
                progress(run.position.epoch * steps + run.position.step, recipe.epochs * steps)
                signal = stopped()
                if signal or time.monotonic() - saved > save_every_s:
                    run.save()
                    saved = time.monotonic()
                if signal:
                    raise SystemExit(
                        f"ended by {signal} in epoch {run.position.epoch + 1}, step {run.position.step} of {steps}; "
                        "the state is saved, and the same command goes on from it"
                    )
            run.end_epoch()
    return run.finish()


class _Run:
    """Network, optimiser and position of one fit."""

    def __init__(self, network: ClipNetwork, fit: Fit, recipe: Recipe, device: torch.device, digest: str) -> None:
        self.network, self.fit, self.recipe, self.device = network.to(device), fit, recipe, device
        trained = trainable(network, freeze=recipe.freeze)
        self.optimiser = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.weights = class_weights(
            [clip.label for clip in fit.train], len(network.config.class_names), recipe.class_weights
        ).to(device, next(network.parameters()).dtype)
        self.steps_per_epoch = math.ceil(len(fit.train) / recipe.batch)
        names = "\n".join(sorted(f"{clip.name} {clip.label}" for clip in [*fit.train, *fit.inner]))
        # A state belongs to the recipe and to the clips that it is trained on.
        self.digest = f"{digest}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"

    def resume(self) -> None:
        found = load_state(self.fit.state, self.network, self.optimiser, recipe=self.digest)
        asked = self.recipe.micro_batch
        if found is None:
            self.position.planned = self.position.micro_batch = asked
        else:
            self.position, self.best = found
            # A new plan does not change a fit that has begun; memory that did not suffice does, and it is told.
            self.position.micro_batch = min(asked, self.position.micro_batch)
            log.info(
                "%s: goes on in epoch %d after step %d", self.fit.unit, self.position.epoch + 1, self.position.step
            )

    def held(self) -> dict[str, int]:
        """Bytes by owner, for the ledger; the optimiser's two moments come with the first step."""
        trained = sum(each.numel() * each.element_size() for each in self.network.parameters() if each.requires_grad)
        whole = sum(each.numel() * each.element_size() for each in self.network.state_dict().values())
        return {"parameters": whole, "gradients": trained, "optimizer": 2 * trained, "cache": whole}

    def save(self) -> None:
        save_state(self.fit.state, self.network, self.optimiser, self.best, self.position, recipe=self.digest)

    def patience_is_over(self) -> bool:
        return bool(self.best) and self.position.epoch - 1 - self.position.best_epoch >= self.recipe.patience

    def order(self) -> np.ndarray:
        """The order of the training clips in this epoch, by the epoch's own stream."""
        random = stream(self.recipe.seed, self.fit.unit, f"order of epoch {self.position.epoch}")
        return random.permutation(len(self.fit.train))

    def one_step(self, order: np.ndarray) -> None:
        recipe, position = self.recipe, self.position
        start = position.step * recipe.batch
        batch = [self.fit.train[place] for place in order[start : start + recipe.batch]]
        labels = torch.tensor([clip.label for clip in batch], device=self.device)
        seeds = [self.seed_of(clip) for clip in batch]
        done = position.epoch * self.steps_per_epoch + position.step
        rate = recipe.rate(done, recipe.epochs * self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        loss = accumulate(
            self.network,
            [torch.from_numpy(clip.read()) for clip in batch],
            labels,
            self.weights,
            seeds,
            micro_batch=position.micro_batch,
            precision=recipe.precision,
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self.fit.unit}: the loss is {loss} in epoch {position.epoch + 1}, step {position.step + 1}, at a "
                f"learning rate of {rate:g}, with clips {', '.join(clip.name for clip in batch[:5])} and others. Set "
                "training.learning_rate lower, or look at these clips."
            )
        self.optimiser.step()
        weight = float(self.weights[labels].sum())
        position.loss_sum += loss * weight
        position.weight_sum += weight
        position.step += 1

    def seed_of(self, clip: ClipOf) -> int:
        """The seed of a clip's dropout in this epoch."""
        text = repr((self.recipe.seed, self.fit.unit, self.position.epoch, clip.name))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def end_epoch(self) -> None:
        """Judge the epoch by the inner split, and keep the weights if none were better."""
        position = self.position
        answer = evaluate(self.network, self.fit.inner, self.recipe.precision, self.device)
        labels = torch.tensor([clip.label for clip in self.fit.inner])
        weight = self.weights.cpu().double()[labels]
        losses = functional.cross_entropy(answer.double(), labels, reduction="none")
        loss = float((weight * losses).sum() / weight.sum())
        better = loss < position.best_loss
        if better:
            position.best_epoch, position.best_loss = position.epoch, loss
            self.best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
        steps = self.steps_per_epoch
        position.history.append(
            {
                "epoch": position.epoch,
                "steps": (position.epoch + 1) * steps,
                "learning_rate": self.recipe.rate(position.epoch * steps, self.recipe.epochs * steps),
                "train_loss": position.loss_sum / position.weight_sum,
                "inner_loss": loss,
                "inner_accuracy": float((answer.argmax(1) == labels).double().mean()),
                "best": better,
            }
        )
        log.info(
            "%s: epoch %d: train %.4f, inner %.4f%s",
            self.fit.unit,
            position.epoch + 1,
            position.history[-1]["train_loss"],
            loss,
            " (best)" if better else "",
        )
        self.position = replace(position, epoch=position.epoch + 1, step=0, loss_sum=0.0, weight_sum=0.0)

    def finish(self) -> Trained:
        if not self.best:
            raise TrainingError(
                f"{self.fit.unit}: in no epoch was the inner loss finite. Set training.learning_rate lower."
            )
        self.network.load_state_dict(self.best)
        answer = evaluate(self.network, self.fit.inner, self.recipe.precision, self.device).double().numpy()
        position = self.position
        steps = position.epoch * self.steps_per_epoch
        return Trained(position.history, position.best_epoch, answer, steps, position.planned, position.micro_batch)


def evaluate(network: ClipNetwork, clips: Sequence[ClipOf], precision: str, device: torch.device) -> Tensor:
    """Logits (n, classes) float32 on the CPU, one clip at a time, so that no clip's answer hangs on its company."""
    network.eval()
    rows = []
    with torch.no_grad():
        for clip in clips:
            rows.append(logits(network, [torch.from_numpy(clip.read())], device, precision)[0].float().cpu())
    return torch.stack(rows)


def class_weights(labels: Sequence[int], classes: int, how: str) -> Tensor:
    """Weight of each class, (classes,) float64: n / (classes x n of the class), or one each."""
    counts = np.bincount(np.asarray(labels, int), minlength=classes)
    if how == "none":
        return torch.ones(classes, dtype=torch.float64)
    return torch.from_numpy(len(labels) / (classes * np.maximum(counts, 1)))


def trainable(network: ClipNetwork, *, freeze: bool) -> list[torch.nn.Parameter]:
    """Switch gradients on for what is trained, off for the rest; return what is trained, in the order of names."""
    for name, parameter in network.net.named_parameters():
        parameter.requires_grad_(not freeze or name.startswith(_HEADS) or ".proj." in f".{name}")
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
