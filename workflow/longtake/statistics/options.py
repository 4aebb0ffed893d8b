"""The settings of section `statistics`."""

from __future__ import annotations

from longtake.settings.section import Section, setting


class Options(Section):
    """Statistics whose unit is the video."""

    bootstrap_samples: int = setting(
        2000,
        "Bootstrap draws over videos for each interval, and permutations for each test.",
        ge=100,
    )
    confidence: float = setting(
        0.95,
        "Confidence of intervals.",
        gt=0,
        lt=1,
    )
    compare_with: str = setting(
        "",
        "Output folder of another run over the same videos with another gradients.model; the two models are "
        "then compared clip by clip. Empty for no comparison.",
    )
