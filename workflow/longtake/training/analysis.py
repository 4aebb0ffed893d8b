"""What longtake knows of training without loading it: the folds of each network, one job each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from longtake.unit import Analysis, Kind, Section, Study, Unit

FIT = Kind("training_fit", "training/{model}/fold-{fold}/model.safetensors", "training", work="clips")
PREDICT = Kind("training_predict", "training/{model}/fold-{fold}/predictions.parquet", "predictions", work="clips")


def units(study: Study) -> Iterator[Unit]:
    """Yield the folds of each network.

    Facts: ``networks``, of each its ``batch``; ``folds`` over all repeats; ``clips`` that a fold trains on at most, in
    all epochs; and ``videos``.
    """
    for network, about in study.facts["networks"].items():
        for fold in range(study.facts["folds"]):
            wildcards = {"model": network, "fold": str(fold)}
            where, load = f"fold {fold}", {"batch": about["batch"]}
            yield Unit(FIT.rule, wildcards, network, study.facts["clips"], load, network, where)
            yield Unit(PREDICT.rule, wildcards, network, study.facts["videos"], load, network, where)


def section(study: Study) -> Mapping[str, Any] | None:
    """Return what the report shows of training."""
    from longtake.training.section import training_section

    return training_section(study)


ANALYSIS = Analysis(
    name="training",
    kinds=(FIT, PREDICT),
    units=units,
    targets={
        "training_clips": "training/shards/{shard}/clips.parquet",
        "training_features": "training/shards/{shard}/features.parquet",
        "training_baseline": "training/{model}/fold-{fold}/predictions.parquet",
        "training_evaluate": "training/leaderboard.csv",
    },
    sections=(Section("training", "Training on folds", section, "report.html.j2", place=40),),
)
