"""The settings of section `statistics`."""

from __future__ import annotations

from longtake.settings.section import Section, setting


class Options(Section):
    """Statistics whose unit is the video."""

    permutations: int = setting(
        2000,
        "Random rearrangements of each test between species and of each band of curves, at least. Where all "
        "rearrangements are fewer than 20,000, all are visited; a family of many tests draws more. Intervals need "
        "none.",
        ge=100,
    )
    confidence: float = setting(
        0.95,
        "Confidence of intervals; tests are held to what is left of 1.",
        gt=0,
        lt=1,
    )
    visit_gap: int = setting(
        1,
        "Processed frames on which an object may be missed within one visit. At 0 each miss ends a visit: misses on 1 "
        "% of the frames make three visits of two.",
        ge=0,
    )
    speed_step: float = setting(
        1.0,
        "Seconds over which speed is measured, the same for all videos: speed over a shorter step is larger, the more "
        "so the noisier the places are. Where frames are processed more rarely, one step.",
        gt=0,
    )
    appearance_above: float = setting(
        0.7,
        "Share of gradient and answer that clips must keep where nothing moves, and where order is lost, for the word "
        "appearance. A convention: the border of the bands of the analysis that this one replaces.",
        gt=0,
        lt=1,
    )
    motion_below: float = setting(
        0.5,
        "Share that they may keep at most for the words motion and order. A convention, of the same bands.",
        gt=0,
        lt=1,
    )
    no_relation_below: float = setting(
        0.1,
        "Size of a correlation above chance that is called none: Cohen's (1988) small one.",
        gt=0,
        lt=1,
    )
    compare_with: str = setting(
        "",
        "Output folder of another run over the same videos with another gradients.model; the two models are "
        "then compared clip by clip. Empty for no comparison.",
    )
