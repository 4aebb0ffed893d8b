"""What decides the numbers of a fit, as one record with a digest."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from longtake.errors import ConfigError

if TYPE_CHECKING:
    from longtake.models.networks.build import NetworkConfig

SCHEDULES, PRECISIONS = ("cosine", "constant"), ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """The settings of one network's training.

    Attributes
    ----------
    network : what is trained
    weights : digest of the file that it begins from; empty for drawn weights
    seed : of weights, order and dropout
    batch : clips of an effective batch, whatever the memory
    micro_batch : clips that are in memory at a time. It belongs to the recipe: sums of another order differ by
        rounding, which training amplifies (60 steps with 8 against 1: 1e-2 in probabilities in float32)
    epochs, patience : at most, and how many without a better inner loss end it
    learning_rate, weight_decay, schedule : of AdamW (Loshchilov & Hutter 2019)
    class_weights : ``balanced`` weighs a clip by 1 / how often its class occurs
    precision : ``float32``, or ``bfloat16`` (autocast)
    freeze : only the layers behind the backbone are trained
    """

    network: NetworkConfig
    weights: str = ""
    seed: int = 0
    batch: int = 16
    micro_batch: int = 4
    epochs: int = 20
    patience: int = 5
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    schedule: str = "cosine"
    class_weights: str = "balanced"
    precision: str = "float32"
    freeze: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or self.micro_batch < 1 or self.batch % self.micro_batch:
            raise ConfigError(
                f"training.batch {self.batch} is no multiple of micro_batch {self.micro_batch}. Set micro_batch to a "
                "divisor of it, or to 0 for the plan's choice."
            )
        for name, value, known in (
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
            ("class_weights", self.class_weights, ("balanced", "none")),
        ):
            if value not in known:
                raise ConfigError(f"training.{name} is {value!r}. Give one of {', '.join(known)}.")

    @property
    def digest(self) -> str:
        """Sixteen signs that change with any of the settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step` of `steps`; ``cosine`` falls to zero (Loshchilov & Hutter 2017)."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))


def micro_batches(batch: int, most: int) -> list[int]:
    """Return the divisors of `batch` up to `most`, the largest first."""
    return [number for number in range(min(batch, most), 0, -1) if batch % number == 0]
