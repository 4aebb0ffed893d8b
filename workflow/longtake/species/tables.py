"""The tables of this step: the schema of each, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from longtake.cells import FORMULA, NUMBER
from longtake.species.measures import MEASURES
from longtake.store.atomic import atomic_path
from longtake.store.schemas import declare
from longtake.store.tables import gathered, write_table


def _typed(kind: pa.DataType, names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), kind)


_TEXT, _INT, _LONG, _REAL, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()

OBJECTS = declare(
    "object statistics",
    2,
    {
        **_typed(_TEXT, "video object species"),
        **_typed(_LONG, "n_frames n_looked n_visible"),
        **_typed(_REAL, "looked_s presence first_s last_s dwell_s visit_s visit_max_s"),
        **_typed(_INT, "n_visits entries exits"),
        **_typed(_REAL, "area_px area_median_px box_diagonal_px"),
        **_typed(_LONG, "n_steps"),
        **_typed(_REAL, "speed_px_s speed_median_px_s speed_bl_s speed_median_bl_s"),
        **_typed(_REAL, "speed_step_s speed_noise_px_s"),
    },
    "video object species n_frames n_looked n_visible presence dwell_s n_visits entries exits n_steps",
)
"""One row per video and object."""

VISITS = declare(
    "visits",
    1,
    {
        **_typed(_TEXT, "video object species"),
        "visit": _INT,
        **_typed(_LONG, "first_frame last_frame"),
        **_typed(_REAL, "start_s stop_s duration_s"),
        "n_frames": _LONG,
        **_typed(_FLAG, "entry_seen exit_seen"),
    },
    "video object species visit first_frame last_frame start_s stop_s duration_s n_frames entry_seen exit_seen",
)
"""One row per unbroken run of processed frames on which an object is visible."""

PROMPTS = declare(
    "prompt times",
    1,
    {**_typed(_TEXT, "video object species"), "frame": _LONG, "time_s": _REAL},
    "video object species frame time_s",
)
"""One row per frame on which an object was prompted."""

VIDEO_SPECIES = declare(
    "species of a video",
    3,
    {
        **_typed(_TEXT, "video species"),
        "n_frames": _LONG,
        **_typed(_REAL, " ".join(m.name for m in MEASURES)),
        "uses": _TEXT,
        "surveyed": _FLAG,
        **_typed(_LONG, "n_ok n_approximate n_failed clips_ok clips_approximate clips_failed"),
        **_typed(_LONG, "clips_wrong clips_animal clips_crop"),
    },
    "video species n_frames n_ok n_approximate n_failed clips_ok clips_approximate clips_failed",
)
"""One row per video and species: the values that the statistics over videos rest on."""

VIDEO_CURVES = declare(
    "importance curve of a video",
    2,
    {
        **_typed(_TEXT, "video species"),
        "offset": _INT,
        **_typed(_REAL, "importance motion_animal motion_crop"),
        "n_clips": _LONG,
    },
    "video species offset n_clips",
)
"""One row per video, species and frame offset in the clip, averaged over clips; motion by its source."""

SERIES = declare(
    "series of clips",
    1,
    {**_typed(_TEXT, "video species source clip"), "offset": _INT, **_typed(_REAL, "importance motion")},
    "video species source clip offset importance motion",
)
"""Importance and motion of a few clips of a video, frame by frame, by which other videos' relations are calibrated."""

SPECIES = declare(
    "species statistics",
    2,
    {
        **_typed(_TEXT, "species measure unit family"),
        "n_videos": _LONG,
        **_typed(_REAL, "mean sd centre low high level"),
        **_typed(_TEXT, "method status reason"),
        "n_videos_ok": _LONG,
        **_typed(_REAL, "mean_ok low_ok high_ok"),
        **_typed(_LONG, "n_ok n_approximate n_failed n_wrong"),
    },
    "species measure unit family n_videos method status reason",
)
"""One row per species and measure; ``low`` and ``high`` are about ``centre``, see `inference.Interval`.
Units are windows (annotation) or clips (gradients); ``n_wrong`` of the clips were predicted wrong. ``*_ok`` is over the
videos without an approximate or failed unit."""

COMPARISONS = declare(
    "species comparisons",
    2,
    {
        **_typed(_TEXT, "measure family role species_a species_b"),
        **_typed(_LONG, "n_a n_b n_paired"),
        **_typed(_REAL, "mean_a mean_b difference difference_low difference_high"),
        **_typed(_REAL, "hedges_g hedges_low hedges_high cliffs_delta cliffs_low cliffs_high"),
        **_typed(_REAL, "p p_least p_omnibus p_adjusted"),
        **_typed(_TEXT, "adjusted method status reason"),
    },
    "measure family role species_a species_b n_a n_b n_paired method status reason",
)
"""One row per measure and pair of species. ``p_least`` is the least p that the videos allow; a row that cannot reach
significance is undecided, and no family counts it. ``p_omnibus`` is of all species together, adjusted over the primary
measures of the family; ``p_adjusted`` says in ``adjusted`` over what it is adjusted."""

SPECIES_CURVES = declare(
    "importance curves of species",
    1,
    {
        "species": _TEXT,
        "offset": _INT,
        "measure": _TEXT,
        **_typed(_REAL, "mean low high"),
        "n_videos": _LONG,
    },
    "species offset measure mean n_videos",
)
"""One row per species, offset and measure (importance, motion), with the band over videos that holds
the whole curve."""


VERDICTS = declare(
    "verdicts on species",
    2,
    {
        "species": _TEXT,
        "n_videos": _LONG,
        **_typed(_TEXT, "relation motion relation_reason uses uses_reason"),
    },
    "species n_videos relation relation_reason uses uses_reason",
)
"""One row per species: how importance goes with whose motion, and what the model uses, or why that is undecided."""

RELATIONS = declare(
    "importance and motion of species",
    1,
    {
        **_typed(_TEXT, "species motion"),
        **_typed(_LONG, "n_videos n_clips"),
        **_typed(_REAL, "r r_low r_high chance_r signed signed_low signed_high p_signed"),
        **_typed(_REAL, "size chance_size excess excess_low excess_high p_excess p_least"),
        **_typed(_TEXT, "word reason"),
    },
    "species motion n_videos n_clips word reason",
)
"""One row per species and source of motion. ``r`` is the mean Fisher z taken back and ``size`` the mean |r| over
videos; ``chance_*`` the same of importance beside other videos' motion; ``signed`` (in Fisher's z) and ``excess`` what
is above that, with intervals, and p by sign flips, Holm over the two."""


DIVERGENCE = "importance_divergence"
MODELS = declare(
    "comparison of two models",
    1,
    {
        **_typed(_TEXT, "species measure"),
        **_typed(_LONG, "n_videos n_clips"),
        **_typed(_REAL, "value_a value_b difference low high p p_least p_holm same_class"),
        **_typed(_TEXT, "method status reason"),
    },
    "species measure n_videos n_clips method status reason",
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
