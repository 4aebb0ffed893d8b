from pathlib import Path

from longtake.job import job
from longtake.species.video import video_statistics
from longtake.verdicts import Borders

with job(snakemake) as it:
    video_statistics(
        video=it.wildcards["video"],
        detections=Path(it.input.detections),
        **{name: Path(path) for name in ("clips", "curves", "perturbations") for path in it.input[name]},
        windows=it.windows,
        frame_interval=it.params.frame_interval,
        **{name: it.params[name] for name in ("duration_s", "surveyed", "visit_gap", "speed_step_s")},
        borders=Borders(**it.params.borders),
        out=Path(it.output[0]).parent,
    )
