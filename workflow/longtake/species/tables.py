"""The tables of this step, and the measures in them: schema, unit and words for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from longtake.cells import FORMULA, NUMBER
from longtake.store.atomic import atomic_path
from longtake.store.tables import gathered, write_table


def _schema(name: str, required: str, columns: dict[str, pa.DataType], version: int = 1) -> pa.Schema:
    needed = set(required.split())
    fields = [pa.field(column, kind, nullable=column not in needed) for column, kind in columns.items()]
    return pa.schema(fields, metadata={"longtake.schema": name, "longtake.version": str(version)})


def _typed(kind: pa.DataType, names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), kind)


@dataclass(frozen=True)
class Measure:
    """One number per video and species; ``family`` is where it comes from.

    Only a measure that is ``tested`` is compared between species: each more test makes all others harder to decide.
    """

    name: str
    unit: str
    words: str
    family: str
    tested: bool = True


PERTURBED = {
    "shuffle": "frames shuffled",
    "drop-50": "half of the frames lost",
    "drop-75": "three quarters of the frames lost",
    "reverse": "frames reversed",
    "static": "first frame throughout",
    "middle": "middle frame throughout",
    "short": "seen in short windows",
}
"""Perturbation -> what was done, in words."""


def _perturbed() -> tuple[Measure, ...]:
    found = []
    for kind, words in PERTURBED.items():
        name = kind.replace("-", "_")
        if kind != "short":
            found.append(Measure(f"ratio_{name}", "ratio", f"Gradient over that of the clip, {words}", "gradients"))
            found.append(Measure(f"kept_{name}", "share", f"Kept of gradient and answer, {words}", "gradients", False))
        found.append(Measure(f"cosine_{name}", "cosine", f"Cosine of the logits, {words}", "gradients", False))
        found.append(Measure(f"agrees_{name}", "share", f"Same class predicted, {words}", "gradients", False))
    words = "Importance frame by frame against that in short windows (Pearson)"
    return (*found, Measure("importance_r_short", "r", words, "gradients", False))


MEASURES: tuple[Measure, ...] = (
    Measure("n_objects", "objects", "Objects per video", "annotation"),
    Measure("max_count", "objects", "Most at once (MaxN)", "annotation"),
    Measure("mean_count", "objects", "Mean count per processed frame", "annotation"),
    Measure("presence", "share", "Share of processed frames with the species", "annotation"),
    Measure("dwell_s", "s", "Dwell time, all objects", "annotation"),
    Measure("visit_s", "s", "Length of a visit", "annotation"),
    Measure("entries", "entries", "Entries seen", "annotation"),
    Measure("exits", "exits", "Exits seen", "annotation"),
    Measure("area_px", "px²", "Mask area", "annotation"),
    Measure("box_diagonal_px", "px", "Box diagonal", "annotation"),
    Measure("speed_px_s", "px/s", "Speed", "annotation"),
    Measure("speed_bl_s", "body lengths/s", "Speed in body lengths", "annotation"),
    Measure("importance_mean", "score per grey level", "Mean temporal importance", "gradients"),
    Measure("importance_variation", "ratio", "Variation of importance over a clip", "gradients"),
    Measure("importance_autocorrelation", "r", "Lag-1 autocorrelation of importance", "gradients"),
    Measure("importance_peaks", "peaks", "Peaks of importance per clip", "gradients"),
    Measure("pearson", "r", "Importance against motion (Pearson)", "gradients"),
    Measure("spearman", "r", "Importance against motion (Spearman)", "gradients"),
    Measure("mutual_information", "bits", "Mutual information of importance and motion", "gradients"),
    Measure("best_lag", "frames", "Lag of the strongest correlation", "gradients"),
    Measure("peak_alignment", "share", "Peaks of importance near peaks of motion", "gradients"),
    Measure("phase_coherence", "0 to 1", "Phase coherence of importance and motion", "gradients"),
    Measure("correct", "share", "Clips with the right species predicted", "gradients"),
    *_perturbed(),
)

CLIP_COLUMNS = {
    "importance_mean": "mean",
    "importance_variation": "variation",
    "importance_autocorrelation": "autocorrelation",
    "importance_peaks": "n_peaks",
    "pearson": "pearson",
    "spearman": "spearman",
    "mutual_information": "mutual_information",
    "best_lag": "best_lag",
    "peak_alignment": "peak_alignment",
    "phase_coherence": "phase_coherence",
    "correct": "correct",
}
"""Measure -> the column of CLIPS that is averaged over the clips of a video."""

_TEXT, _INT, _LONG, _REAL, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()

OBJECTS = _schema(
    "object statistics",
    "video object species n_frames n_visible presence dwell_s n_visits entries exits n_steps",
    {
        **_typed(_TEXT, "video object species"),
        **_typed(_LONG, "n_frames n_visible"),
        **_typed(_REAL, "presence first_s last_s dwell_s visit_s visit_max_s"),
        **_typed(_INT, "n_visits entries exits"),
        **_typed(_REAL, "area_px area_median_px box_diagonal_px"),
        **_typed(_LONG, "n_steps"),
        **_typed(_REAL, "speed_px_s speed_median_px_s speed_bl_s speed_median_bl_s"),
    },
)
"""One row per video and object."""

VISITS = _schema(
    "visits",
    "video object species visit first_frame last_frame start_s stop_s duration_s n_frames entry_seen exit_seen",
    {
        **_typed(_TEXT, "video object species"),
        "visit": _INT,
        **_typed(_LONG, "first_frame last_frame"),
        **_typed(_REAL, "start_s stop_s duration_s"),
        "n_frames": _LONG,
        **_typed(_FLAG, "entry_seen exit_seen"),
    },
)
"""One row per unbroken run of processed frames on which an object is visible."""

PROMPTS = _schema(
    "prompt times",
    "video object species frame time_s",
    {**_typed(_TEXT, "video object species"), "frame": _LONG, "time_s": _REAL},
)
"""One row per frame on which an object was prompted."""

VIDEO_SPECIES = _schema(
    "species of a video",
    "video species n_frames n_ok n_approximate n_failed clips_ok clips_approximate clips_failed",
    {
        **_typed(_TEXT, "video species"),
        "n_frames": _LONG,
        **_typed(_REAL, " ".join(m.name for m in MEASURES)),
        **_typed(_TEXT, "dependency uses"),
        **_typed(_LONG, "n_ok n_approximate n_failed clips_ok clips_approximate clips_failed"),
    },
    version=2,
)
"""One row per video and species: the values that the statistics over videos rest on."""

VIDEO_CURVES = _schema(
    "importance curve of a video",
    "video species offset n_clips",
    {
        **_typed(_TEXT, "video species"),
        "offset": _INT,
        **_typed(_REAL, "importance motion"),
        "n_clips": _LONG,
    },
)
"""One row per video, species and frame offset in the clip, averaged over clips."""

SPECIES = _schema(
    "species statistics",
    "species measure unit family n_videos method status reason",
    {
        **_typed(_TEXT, "species measure unit family"),
        "n_videos": _LONG,
        **_typed(_REAL, "mean low high sd level"),
        **_typed(_TEXT, "method status reason"),
        **_typed(_LONG, "n_ok n_approximate n_failed"),
    },
)
"""One row per species and measure. Units are windows (annotation) or clips (gradients)."""

COMPARISONS = _schema(
    "species comparisons",
    "measure species_a species_b n_a n_b n_paired method status reason",
    {
        **_typed(_TEXT, "measure species_a species_b"),
        **_typed(_LONG, "n_a n_b n_paired"),
        **_typed(_REAL, "mean_a mean_b difference hedges_g cliffs_delta p p_holm"),
        **_typed(_TEXT, "method status reason"),
    },
)
"""One row per measure and pair of species; ``p_holm`` is adjusted over all decided rows of the table."""

SPECIES_CURVES = _schema(
    "importance curves of species",
    "species offset measure mean n_videos",
    {
        "species": _TEXT,
        "offset": _INT,
        "measure": _TEXT,
        **_typed(_REAL, "mean low high"),
        "n_videos": _LONG,
    },
)
"""One row per species, offset and measure (importance, motion), with the pointwise band over videos."""


VERDICTS = _schema(
    "verdicts on species",
    "species n_videos dependency dependency_reason uses uses_reason",
    {
        "species": _TEXT,
        "n_videos": _LONG,
        **_typed(_TEXT, "dependency dependency_reason uses uses_reason"),
    },
)
"""One row per species: how far importance goes with motion, and what the model uses, or why that is undecided."""


DIVERGENCE = "importance_divergence"
MODELS = _schema(
    "comparison of two models",
    "species measure n_videos n_clips method status reason",
    {
        **_typed(_TEXT, "species measure"),
        **_typed(_LONG, "n_videos n_clips"),
        **_typed(_REAL, "value_a value_b difference low high p p_holm same_class"),
        **_typed(_TEXT, "method status reason"),
    },
)
"""One row per species (and all together) and measure. ``difference`` is A less B over videos, with its interval; of
``importance_divergence`` it is the Jensen-Shannon divergence of the two models' curves in bits, and ``same_class`` the
share of clips for which both name the same class."""


def write_rows(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    """Write `rows` as Parquet at `path` and as CSV beside it, the same rows in the same order."""
    write_tables(path, [pa.Table.from_pylist(list(rows), schema=schema)], schema)


def _harmless(table: pa.Table) -> pa.Table:
    """Put an apostrophe before the texts that a spreadsheet would compute, as `longtake.cells.harmless` does."""
    for place, field in enumerate(table.schema):
        if field.type == pa.string():
            texts = table.column(place)
            computed = pc.and_not(pc.match_substring_regex(texts, FORMULA), pc.match_substring_regex(texts, NUMBER))
            table = table.set_column(
                place, field, pc.if_else(computed, pc.binary_join_element_wise("'", texts, ""), texts)
            )
    return table


def write_tables(path: Path, parts: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write `parts` one after the other as Parquet at `path` and as CSV beside it.

    Memory: one part, and twice what `gathered` holds.
    """
    csv = path.with_suffix(".csv")
    plain = schema.remove_metadata()
    with atomic_path(csv) as temporary, pa_csv.CSVWriter(temporary, plain) as writer:

        def copied() -> Iterator[pa.Table]:
            for group in gathered(parts):
                writer.write_table(_harmless(group.replace_schema_metadata(None).cast(plain)))
                yield group

        write_table(path, copied(), schema)
