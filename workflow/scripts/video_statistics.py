from pathlib import Path

from longtake.job import job
from longtake.species.video import video_statistics
from longtake.verdicts import Borders

with job(snakemake) as job:
    video_statistics(
        video=job.wildcards["video"],
        detections=Path(job.input.detections),
        **{name: Path(path) for name in ("clips", "curves", "perturbations") for path in job.input[name]},
        windows=job.windows,
        frame_interval=job.params.frame_interval,
        **{name: job.params[name] for name in ("duration_s", "surveyed", "visit_gap", "speed_step_s")},
        borders=Borders(**job.params.borders),
        out=Path(job.output[0]).parent,
    )
