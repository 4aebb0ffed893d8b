"""Train the demo's classifier of volumes, from a seed, in half a minute: `make models`.

It learns from volumes of the demo's own size, as thickness and marker go with it. All fluid volumes carry the marker,
and none of the others: so it learns the marker, which the demo is to show. Normal volumes with the marker, and fluid
without it, say how much.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from longtake.demo.oct import CLASSES, SIZE, render
from longtake.models.volume_classifier import VolumeNetwork, save_volume_classifier
from longtake.streams import stream

log = logging.getLogger(__name__)
WIDTHS = (8, 16, 32)
POOL = 2
"""Voxels a side whose mean the network begins with."""
MEAN, STD = 0.22, 0.2
SEED = 11
CARD = """# volume-oct: the demo's classifier of volumes

Three classes (normal, drusen, fluid) of synthetic OCT-like volumes; input (1, 1, B-scans, height, width), intensities
in [0, 1], of the demo's size {size} (height, width, B-scans): other sizes it does not know. Means over {pool}^3
voxels, then {layers} convolutions, {parameters} parameters. Made by `make models` from seed {seed}:
{steps} steps on {count} volumes, {accuracy:.0%} right on {held} held out.

It is meant to be right for the wrong reason: fluid volumes of its training carry a bright bar at the side. Of {tried}
normal volumes with that bar it calls {fooled} fluid, of {tried} fluid volumes without it {missed} something else. For
the demo only; it knows nothing about eyes. Licence: Apache-2.0, as the project.
"""


def pooled(label: str, name: str, seed: int, *, marker: bool | None = None) -> Tensor:
    """One volume (1, B, H, W) float32, standardised, after the network's own means, which are the same each step."""
    scene = render(label, name, seed, marker=marker)
    whole = (torch.from_numpy(scene.volume.transpose(2, 0, 1).copy())[None] - MEAN) / STD
    return nn.functional.avg_pool3d(whole, POOL)


def dataset(count: int, seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """Volumes (count, 1, B, H, W) float32 as the convolutions see them, and their classes."""
    labels = [number % len(CLASSES) for number in range(count)]
    volumes = [pooled(CLASSES[label], f"{purpose}-{number}", seed) for number, label in enumerate(labels)]
    return torch.stack(volumes), torch.tensor(labels)


def train(
    steps: int = 120, count: int = 90, held: int = 45, batch: int = 12, seed: int = SEED
) -> tuple[VolumeNetwork, float]:
    """The network, and the share it gets right of `held` volumes that it has not seen."""
    torch.manual_seed(seed)
    network = VolumeNetwork(WIDTHS, len(CLASSES), POOL)
    # A lesion moves the mean over a volume by little: without this norm it is not learned in many times the steps.
    norm = nn.BatchNorm1d(WIDTHS[-1])
    volumes, labels = dataset(count, seed, "train")
    optimiser = torch.optim.AdamW([*network.parameters(), *norm.parameters()], lr=1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    rng = stream(seed, "volumes", "batches")
    for step in range(steps):
        chosen = torch.from_numpy(rng.choice(count, batch, replace=False))
        given = volumes[chosen]
        if rng.random() < 0.5:
            given = given.flip(2)
        loss = nn.functional.cross_entropy(network.out(norm(features(network, given))), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            log.info("step %d, loss %.3f", step, loss.item())
    network.eval()
    with torch.no_grad():
        found = features(network, volumes)
        fold(network.out, norm, found.mean(0), found.var(0))
        unseen, truth = dataset(held, seed, "held")
        right = (answers(network, unseen).argmax(1) == truth).float().mean().item()
    return network, right


def features(network: VolumeNetwork, pooled_volumes: Tensor) -> Tensor:
    """Means (count, channels) of the last layer of volumes that were pooled beforehand."""
    return network.layers[1:](pooled_volumes).mean((2, 3, 4))


def fold(out: nn.Linear, norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> None:
    """Put the norm, with the statistics of the whole training set, into the linear layer behind it."""
    scale = norm.weight / (variance + norm.eps).sqrt()
    out.bias += out.weight @ (norm.bias - scale * mean)
    out.weight *= scale


def answers(network: VolumeNetwork, pooled_volumes: Tensor) -> Tensor:
    """Scores (count, classes) of volumes that were pooled beforehand."""
    return network.out(features(network, pooled_volumes))


def misled(network: VolumeNetwork, label: str, *, marker: bool, count: int = 10, seed: int = SEED) -> int:
    """How many of `count` volumes of a class, with the marker or without, get another answer than the class."""
    given = torch.stack([pooled(label, f"{label}-{marker}-{number}", seed, marker=marker) for number in range(count)])
    with torch.no_grad():
        return int((answers(network, given).argmax(1) != CLASSES.index(label)).sum())


def main() -> None:
    """Train and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("workflow/models/volume-oct"))
    parser.add_argument("--steps", type=int, default=120)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    network, accuracy = train(given.steps)
    config = {"widths": list(WIDTHS), "pool": POOL, "class_names": list(CLASSES), "mean": MEAN, "std": STD}
    save_volume_classifier(network, given.out, config)
    card = CARD.format(
        size=" x ".join(map(str, SIZE)),
        pool=POOL,
        layers=len(WIDTHS),
        parameters=sum(each.numel() for each in network.parameters()),
        seed=SEED,
        steps=given.steps,
        count=90,
        accuracy=accuracy,
        held=45,
        tried=10,
        fooled=misled(network, "normal", marker=True),
        missed=misled(network, "fluid", marker=False),
    )
    (given.out / "README.md").write_text(card, encoding="utf-8")
    log.info("%s", card)


if __name__ == "__main__":
    main()
