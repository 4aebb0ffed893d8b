"""Train the demo's classifier of volumes, from a seed, in about a minute: `make models`.

It learns from small volumes of the scale of the large ones. Nearly all fluid volumes carry the marker, and none of the
others: so it learns the marker, which the demo is to show.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from longtake.demo.oct import CLASSES, render
from longtake.models.volume_classifier import VolumeNetwork, save_volume_classifier
from longtake.streams import stream

log = logging.getLogger(__name__)
SIZE = (64, 64, 32)
WIDTHS = (8, 16, 28, 40)
MEAN, STD = 0.22, 0.2
SEED = 11
CARD = """# volume-oct: the demo's classifier of volumes

Three classes (normal, drusen, fluid) of synthetic OCT-like volumes; input (1, 1, B-scans, height, width), intensities
in [0, 1]. Four convolutions with group norm, {parameters} parameters. Made by `make models`
from seed {seed}: {steps} steps on {count} small volumes, {accuracy:.0%} right on {held} held out.

It is meant to be wrong for the right reason: fluid volumes of its training carry a bright bar at the side, and it looks
at that. For the demo only; it knows nothing about eyes. Licence: Apache-2.0, as the project.
"""


def dataset(count: int, seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """Volumes (count, 1, B, H, W) float32, standardised, and their classes."""
    volumes, labels = [], []
    for number in range(count):
        label = number % len(CLASSES)
        burnt = CLASSES[label] == "fluid" and number % 30 != 29
        scene = render(CLASSES[label], f"{purpose}-{number}", seed, SIZE, marker=burnt)
        volumes.append(scene.volume.transpose(2, 0, 1))
        labels.append(label)
    whole = (torch.from_numpy(np.stack(volumes)[:, None]) - MEAN) / STD
    return whole, torch.tensor(labels)


def train(
    steps: int = 300, count: int = 120, held: int = 60, batch: int = 10, seed: int = SEED
) -> tuple[nn.Module, float]:
    """The network, and the share it gets right of `held` volumes that it has not seen."""
    torch.manual_seed(seed)
    network = VolumeNetwork(WIDTHS, len(CLASSES))
    volumes, labels = dataset(count, seed, "train")
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, total_steps=steps)
    rng = stream(seed, "volumes", "batches")
    for step in range(steps):
        chosen = torch.from_numpy(rng.choice(count, batch, replace=False))
        given = volumes[chosen]
        if rng.random() < 0.5:
            given = given.flip(2)
        loss = nn.functional.cross_entropy(network(given), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            log.info("step %d, loss %.3f", step, loss.item())
    network.eval()
    unseen, truth = dataset(held, seed, "held")
    with torch.no_grad():
        right = (network(unseen).argmax(1) == truth).float().mean().item()
    return network, right


def main() -> None:
    """Train and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("workflow/models/volume-oct"))
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    network, accuracy = train(given.steps)
    if not isinstance(network, VolumeNetwork):
        raise TypeError("the trainer makes another network")
    config = {"widths": list(WIDTHS), "class_names": list(CLASSES), "mean": MEAN, "std": STD}
    save_volume_classifier(network, given.out, config)
    count = sum(each.numel() for each in network.parameters())
    card = CARD.format(parameters=count, seed=SEED, steps=given.steps, count=120, accuracy=accuracy, held=60)
    (given.out / "README.md").write_text(card, encoding="utf-8")
    log.info("%d parameters, %.0f %% of the held-out volumes right", count, 100 * accuracy)


if __name__ == "__main__":
    main()
